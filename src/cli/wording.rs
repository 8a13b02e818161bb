//! How options about tables are written on the command line, for advice that can be copied.

use crate::data::csv::Setting;

/// As the command line writes it.
pub(super) fn in_options(setting: &Setting) -> Option<String> {
    let one = |option: &str, value: &str| Some(format!("`--{option} {}`", shell_word(value)));
    match setting {
        Setting::Label(name) => one("label", name),
        Setting::Pixels(pattern) => one("pixels", &pattern.to_string()),
        Setting::Header(header) => one("header", header.word()),
        Setting::Ignore(names) => {
            let options: Vec<String> = names.iter().map(|name| format!("--ignore {}", shell_word(name))).collect();
            Some(format!("`{}`", options.join(" ")))
        }
        Setting::Delimiter(delimiter) => one("delimiter", delimiter.word()),
        Setting::PassThrough(name) => one("passthrough", name),
    }
}

/// A word as a shell takes it.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '=' | '@' | '%' | '+');
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::csv::Header;

    #[test]
    fn names_are_written_so_that_a_shell_takes_them() {
        let ignore = Setting::Ignore(vec!["Unnamed: 0".to_owned(), "it's".to_owned(), String::new()]);
        assert_eq!(in_options(&ignore).unwrap(), r"`--ignore 'Unnamed: 0' --ignore 'it'\''s' --ignore ''`");
        assert_eq!(in_options(&Setting::Header(Header::No)).unwrap(), "`--header no`");
    }
}
