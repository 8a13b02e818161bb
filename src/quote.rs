//! Text from outside in messages: a cell, a column's name, a path, an operator's name in a foreign file.
//!
//! Such text may hold anything: escape codes that repaint the terminal, marks that reverse the direction of writing, a
//! million characters. [`excerpt()`] makes it fit to stand in a message; [`printable()`] is for a finished message and
//! keeps its lines. Every message that quotes a file uses the first; the command line passes everything that it prints
//! through the second.

use std::borrow::Cow;
use std::fmt::Write;

/// The longest excerpt, in characters of the original.
const LONGEST: usize = 60;

/// The longest path that is shown whole, in characters: that of most systems.
const LONGEST_PATH: usize = 4096;

/// `text` for a message, without quotes: invisible characters are escaped as Rust writes them, and what is longer than
/// sixty characters ends with `…`.
pub fn excerpt(text: &str) -> String {
    excerpt_of(text, LONGEST)
}

/// As [`excerpt()`], with at most `longest` characters of the original.
pub fn excerpt_of(text: &str, longest: usize) -> String {
    let mut short = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(longest) {
        push_visibly(&mut short, character);
    }
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

/// As [`excerpt()`], for bytes that may not be UTF-8; what is not becomes `U+FFFD`.
pub fn excerpt_of_bytes(bytes: &[u8]) -> String {
    // Four bytes is the longest character, and one more tells that there is more.
    let beginning = &bytes[..bytes.len().min(4 * LONGEST + 4)];
    excerpt(&String::from_utf8_lossy(beginning))
}

/// Names in backquotes, "`a`, `b` and 3 more": as many as a reader takes in, each as an [`excerpt()`].
pub fn list(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{}`", excerpt(name.as_ref()))).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A path in backquotes for a message: whole, as it must be to be found, with invisible characters escaped.
pub fn path(path: &std::path::Path) -> String {
    format!("`{}`", excerpt_of(&path.to_string_lossy(), LONGEST_PATH))
}

/// `text` with its lines and tabs, every other invisible character escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    let stays = |character: char| matches!(character, '\n' | '\t') || !is_invisible(character);
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if stays(character) { shown.push(character) } else { push_visibly(&mut shown, character) }
    }
    Cow::Owned(shown)
}

/// The JSON text `json` with every invisible character written as an escape: it means the same, and shows what it holds.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let stays = |character: char| character == '\n' || !is_invisible(character);
    if json.chars().all(stays) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if stays(character) {
            shown.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(shown, "\\u{unit:04x}").expect("a text can be written to");
            }
        }
    }
    Cow::Owned(shown)
}

fn push_visibly(text: &mut String, character: char) {
    if is_invisible(character) {
        write!(text, "{}", character.escape_default()).expect("a text can be written to");
    } else {
        text.push(character);
    }
}

/// Control characters, and those that Unicode has for the layout of text: they move the cursor, reverse what follows or
/// show nothing.
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line_without_control_characters() {
        assert_eq!(excerpt("Größe"), "Größe");
        assert_eq!(excerpt("a\u{1b}[31mb\r\n\0"), r"a\u{1b}[31mb\r\n\u{0}");
        assert_eq!(excerpt("\u{202e}evil\u{feff}"), r"\u{202e}evil\u{feff}");
        assert_eq!(excerpt(&"x".repeat(14_000)), format!("{}…", "x".repeat(60)));
        assert_eq!(excerpt(&"x".repeat(60)), "x".repeat(60));
        assert_eq!(excerpt_of("abc", 2), "ab…");
        assert_eq!(excerpt_of_bytes(&[b'l', 0xff, 0]), "l\u{fffd}\\u{0}");
        assert_eq!(excerpt_of_bytes(&[b'0'; 14_000]), format!("{}…", "0".repeat(60)));
    }

    #[test]
    fn lists_end_and_paths_are_whole_on_one_line() {
        assert_eq!(list(&["a", "b\n"]), r"`a`, `b\n`");
        assert_eq!(list(&["1", "2", "3", "4", "5", "6", "7"]), "`1`, `2`, `3`, `4`, `5` and 2 more");
        let long = format!("{}/a\nb\u{1b}.png", "folder/".repeat(20));
        assert_eq!(path(std::path::Path::new(&long)), format!(r"`{}/a\nb\u{{1b}}.png`", "folder/".repeat(20)));
    }

    #[test]
    fn a_printable_message_keeps_its_lines() {
        assert_eq!(printable("one\n\ttwo"), "one\n\ttwo");
        let json = serde_json::to_string_pretty(&["\u{9b}31m", "\u{e0001}\u{202e}\n"]).unwrap();
        let shown = printable_json(&json);
        assert!(shown.chars().all(|character| character == '\n' || !is_invisible(character)), "{shown}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            serde_json::from_str::<serde_json::Value>(&json).unwrap()
        );
        assert_eq!(printable("one\u{7}\ntwo\u{9b}0m"), "one\\u{7}\ntwo\\u{9b}0m");
    }
}
