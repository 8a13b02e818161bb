//! What every page and every chart must be, for tests: well-formed, with finite coordinates, loading nothing.

/// Elements that HTML closes by themselves.
const VOID: [&str; 4] = ["img", "meta", "br", "hr"];

/// Panics unless `html` is well-formed, has no number that is not finite, and refers to nothing outside itself.
pub(super) fn assert_sound(html: &str) {
    if let Some(problem) = problem(html) {
        panic!("{problem}\nin {}", html.chars().take(4000).collect::<String>());
    }
}

fn problem(html: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").unwrap_or(html);
    while let Some(start) = rest.find('<') {
        let (tag, after) = match tag(&rest[start + 1..]) {
            Ok(found) => found,
            Err(problem) => return Some(problem),
        };
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            match open.pop() {
                Some(top) if top == name => {}
                top => return Some(format!("</{name}> closes {top:?}")),
            }
            continue;
        }
        let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        if let Some(problem) = attribute_problem(name, attributes) {
            return Some(problem);
        }
        if !VOID.contains(&name) {
            open.push(name);
        }
    }
    if open.is_empty() { None } else { Some(format!("{open:?} are not closed")) }
}

/// The text of a tag up to its `>`, and what follows. Quoted values may hold anything but a quote.
fn tag(text: &str) -> Result<(&str, &str), String> {
    let mut is_quoted = false;
    for (index, character) in text.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => return Ok((&text[..index], &text[index + 1..])),
            '<' => return Err(format!("`<` within the tag {:?}", text.chars().take(60).collect::<String>())),
            _ => {}
        }
    }
    Err("a tag does not end".to_owned())
}

fn attribute_problem(name: &str, attributes: &str) -> Option<String> {
    let mut seen = Vec::new();
    for (index, piece) in attributes.split('"').enumerate() {
        if index % 2 == 0 {
            let key = piece.trim().trim_end_matches('=').split_whitespace().last().unwrap_or("");
            if seen.contains(&key) && !key.is_empty() {
                return Some(format!("<{name}> has `{key}` twice"));
            }
            seen.push(key);
            continue;
        }
        let key = seen.last().copied().unwrap_or("");
        let is_geometry = matches!(
            key,
            "x" | "y"
                | "x1"
                | "x2"
                | "y1"
                | "y2"
                | "cx"
                | "cy"
                | "r"
                | "d"
                | "width"
                | "height"
                | "viewBox"
                | "transform"
                | "fill-opacity"
                | "style"
        );
        if is_geometry && ["NaN", "inf"].iter().any(|word| piece.contains(word)) {
            return Some(format!("<{name} {key}=\"{piece}\"> is not finite"));
        }
        if matches!(key, "width" | "height" | "r") && piece.starts_with('-') {
            return Some(format!("<{name} {key}=\"{piece}\"> is negative"));
        }
        if matches!(key, "src" | "href" | "srcset" | "action")
            && !(piece.starts_with('#') || piece.starts_with("data:image/png;base64,"))
        {
            return Some(format!("<{name} {key}=\"{piece}\"> refers to something outside the page"));
        }
    }
    (name == "script" || name == "link" || name == "iframe").then(|| format!("the page has a <{name}>"))
}

#[test]
fn unsound_pages_are_found() {
    let check = |html: &str, expected: &str| {
        let problem = problem(html).unwrap_or_default();
        assert!(problem.contains(expected), "{html}: {problem:?}");
    };
    check("<p><b></p></b>", "</p> closes");
    check("<p>", "not closed");
    check("<p title=\"a<b\"></p>", "within the tag");
    check("<svg><path d=\"M0 NaNL1 2\"></path></svg>", "not finite");
    check("<rect width=\"-3\"></rect>", "negative");
    check("<img src=\"https://example.org/x.png\">", "outside the page");
    check("<script></script>", "<script>");
    check("<p class=\"a\" class=\"b\"></p>", "twice");
    assert_eq!(problem("<!DOCTYPE html><p title=\"1 > 0, NaN\">text <img src=\"data:image/png;base64,AA==\"> &lt;</p>"), None);
}
