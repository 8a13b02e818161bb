//! YAML text → a tree of [`Node`]s.
//!
//! The grammar is that of `granit-parser`. On top of it stand the rules of this program, which need positions: keys are
//! text and unique; tags are refused; an alias `*name` is a copy of what `&name` marks, and a problem in it is shown where
//! the marked text stands; `<<: *name` merges a mapping, whose keys give way to those written out; one document per
//! file. Depth and size are limited, so that no text can exhaust memory by aliases of aliases.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::node::{Key, Node, Value};
use super::problem::{Place, Problems, Source};
use crate::quote::{excerpt, excerpt_of};

/// The most levels of nesting, those inside aliases counted.
pub(super) const MOST_LEVELS: usize = 64;
/// The most nodes in one text, those inside aliases counted, and in the tree that is made of it.
pub(super) const MOST_NODES: usize = 100_000;

/// Reads one YAML document; a text without one is a blank node. `None` means that the text cannot be read as one, and that a problem says why; otherwise
/// problems that leave the rest readable, such as duplicate keys, may have been added.
pub(super) fn parse(source: &Arc<Source>, text: &str, problems: &mut Problems) -> Option<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MOST_LEVELS,
        block_nesting_limit: MOST_LEVELS,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let events = Parser::new_from_str_with_options(text, options);
    Builder { events, source, problems, anchors: HashMap::new(), nodes: 0 }.document().ok()
}

/// The text cannot be read on; the problem is noted.
struct Stop;

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    source: &'a Arc<Source>,
    problems: &'a mut Problems,
    /// Marked nodes by number; `None` while one is being read.
    anchors: HashMap<usize, Option<Node>>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn document(mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    let place = self.place(&span);
                    self.problems.add_with_help(
                        place,
                        "a second document starts here",
                        "one file holds one pipeline: remove `---`",
                    );
                    return Err(Stop);
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                event => root = Some(self.node(event, &span, 1)?),
            }
        }
        let nothing = || Value::Scalar { text: String::new(), plain: true };
        Ok(root.unwrap_or_else(|| Node { place: Place::new(self.source, 1, 1, 1), value: nothing() }))
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.events.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, level: usize) -> Result<Node, Stop> {
        let place = self.place(span);
        self.grow(1, level, &place)?;
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) => (*anchor, tag.is_some()),
            _ => (0, false),
        };
        if tag {
            let place = span.tag_span().map_or_else(|| place.clone(), |tag| self.place(&tag));
            self.problems.add_with_help(place, "tags are not used here", "remove it; quotes make text of a number");
        }
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        let value = match event {
            // The parser gives a value that was left out as `~` of no length.
            Event::Scalar(_, ScalarStyle::Plain, ..) if span.is_empty() => Value::Scalar { text: String::new(), plain: true },
            Event::Scalar(text, style, ..) => Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain },
            Event::SequenceStart(..) => self.list(level)?,
            Event::MappingStart(..) => self.mapping(level)?,
            Event::Alias(number) => return self.alias(number, place, level),
            Event::UnresolvedAlias(name) => {
                self.problems.add_with_help(
                    place,
                    format!("nothing above is marked `&{}`", excerpt(&name)),
                    "mark it, or write the value out",
                );
                return Err(Stop);
            }
            other => unreachable!("the parser gave {other:?} where a value must be"),
        };
        let node = Node { place, value };
        if anchor > 0 {
            self.grow(node.size(), level, &node.place)?;
            self.anchors.insert(anchor, Some(node.clone()));
        }
        Ok(node)
    }

    fn alias(&mut self, number: usize, place: Place, level: usize) -> Result<Node, Stop> {
        let Some(marked) = self.anchors.get(&number).cloned().flatten() else {
            self.problems.add_with_help(place, "an alias stands inside what it names", "write the value out");
            return Err(Stop);
        };
        self.grow(marked.size(), level + marked.height(), &place)?;
        Ok(marked)
    }

    fn list(&mut self, level: usize) -> Result<Value, Stop> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(nodes)),
                (event, span) => nodes.push(self.node(event, &span, level + 1)?),
            }
        }
    }

    fn mapping(&mut self, level: usize) -> Result<Value, Stop> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, &span, level + 1)?;
            let (event, span) = self.next()?;
            let mut node = self.node(event, &span, level + 1)?;
            if node.is_blank() {
                node.place = key.place.clone();
            }
            match key.value {
                Value::Scalar { text, plain: true } if text.is_empty() => {
                    self.problems.add(key.place, "a key is missing before the `:`");
                }
                Value::Scalar { text, plain: true } if text == "<<" => merges.push((key.place, node)),
                Value::Scalar { text, .. } => match lines.get(&text) {
                    Some(line) => {
                        let message = format!("`{}` is given twice; it is first on line {line}", excerpt(&text));
                        self.problems.add_with_help(key.place, message, "remove one");
                    }
                    None => {
                        lines.insert(text.clone(), key.place.line());
                        entries.push((Key { text, place: key.place }, node));
                    }
                },
                Value::List(_) | Value::Mapping(_) => {
                    self.problems.add_with_help(
                        key.place,
                        "a key must be text",
                        "if `{` or `[` is part of the text, put it in quotes",
                    );
                }
            }
        }
        for (place, node) in merges {
            let mappings = match node.value {
                Value::List(nodes) => nodes,
                _ => vec![node],
            };
            for mapping in mappings {
                let Value::Mapping(merged) = mapping.value else {
                    self.problems.add(place.clone(), format!("`<<` merges mappings, not {}", mapping.describe()));
                    continue;
                };
                for (key, node) in merged {
                    if !lines.contains_key(&key.text) {
                        lines.insert(key.text.clone(), key.place.line());
                        entries.push((key, node));
                    }
                }
            }
        }
        Ok(Value::Mapping(entries))
    }

    fn grow(&mut self, nodes: usize, level: usize, place: &Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        let message = if level > MOST_LEVELS {
            format!("this is nested more than {MOST_LEVELS} levels deep")
        } else if self.nodes > MOST_NODES {
            format!("there are more than {MOST_NODES} values, counting those in aliases")
        } else {
            return Ok(());
        };
        self.problems.add(place.clone(), message);
        Err(Stop)
    }

    fn place(&self, span: &Span) -> Place {
        let length = span.end.index().saturating_sub(span.start.index());
        Place::new(self.source, span.start.line(), span.start.col() + 1, length)
    }

    fn syntax(&mut self, error: &ScanError) -> Stop {
        let marker = error.marker();
        let place = Place::new(self.source, marker.line().max(1), marker.col() + 1, 1);
        let message = format!("this is not YAML: {}", excerpt_of(&error.kind().to_string(), 200));
        match advice(error.kind()) {
            Some(help) => self.problems.add_with_help(place, message, help),
            None => self.problems.add(place, message),
        }
        Stop
    }
}

/// What usually is the matter behind an error of the grammar.
fn advice(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => "indent with blanks, not with tabs",
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => "look for a quote that is not closed",
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::InvalidColonPlacement => "look for a missing `}`, `]` or `,`",
        ErrorKind::SimpleKeyExpected => "a key is followed by `:` and a blank: `epochs: 12`",
        ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockMappingKey => "keys of one mapping stand in one column",
        ErrorKind::MappingValueNotAllowed => {
            "look at the indentation here, for a `:` without a blank on the line before, and for text with `: `, which needs quotes"
        }
        ErrorKind::UnexpectedCharacter { .. } => "put the text in quotes",
        ErrorKind::UnknownQuotedScalarEscape => "in double quotes a backslash is written `\\\\`; single quotes take it as it is",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in short, or the problems.
    fn check(text: &str) -> String {
        fn short(node: &Node) -> String {
            match &node.value {
                Value::Scalar { text, plain: true } => text.clone(),
                Value::Scalar { text, plain: false } => format!("{text:?}"),
                Value::List(nodes) => format!("[{}]", nodes.iter().map(short).collect::<Vec<_>>().join(", ")),
                Value::Mapping(entries) => {
                    let entry = |(key, node): &(Key, Node)| format!("{}: {}", key.text, short(node));
                    format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
                }
            }
        }
        let mut problems = Problems::new();
        let node = parse(&Source::file("p.yaml", text), text, &mut problems);
        assert!(node.is_some() || !problems.is_empty(), "nothing was read and nothing said: {text:?}");
        if problems.is_empty() { short(&node.unwrap()) } else { problems.to_string() }
    }

    #[test]
    fn what_yaml_says() {
        for (text, tree) in [
            ("a: 1\nb: [x, 'y']", r#"{a: 1, b: [x, "y"]}"#),
            ("\u{feff}a: 1", "{a: 1}"),
            ("a: 1\r\nb:\r\n  - 2\r\n", "{a: 1, b: [2]}"),
            ("%YAML 1.2\n---\na: 1\n...\n", "{a: 1}"),
            ("a: &x { b: 1 }\nc: *x", "{a: {b: 1}, c: {b: 1}}"),
            ("a: &x { b: 1, c: 2 }\nd: { <<: *x, c: 3 }", "{a: {b: 1, c: 2}, d: {c: 3, b: 1}}"),
            ("a: &x { b: 1 }\ny: &y { b: 2, c: 2 }\nd: { <<: [*x, *y] }", "{a: {b: 1}, y: {b: 2, c: 2}, d: {b: 1, c: 2}}"),
            ("", ""),
            ("# nothing\n", ""),
            ("'<<': 1", "{<<: 1}"),
            ("{\"a\": [1, 2.5e-1, null]}", "{a: [1, 2.5e-1, null]}"),
        ] {
            assert_eq!(check(text), tree, "{text:?}");
        }
    }

    #[test]
    fn positions_count_characters_and_reach_to_the_end() {
        let text = "größe: [ä, \"b c\"]\nlast:\n";
        let mut problems = Problems::new();
        let root = parse(&Source::file("p.yaml", text), text, &mut problems).unwrap();
        let place = |path: &[&str]| {
            let place = root.find(None, path);
            (place.line(), place.column(), place.length())
        };
        assert_eq!(place(&["größe"]), (1, 1, 5));
        assert_eq!(place(&["größe", "0"]), (1, 9, 1));
        assert_eq!(place(&["größe", "1"]), (1, 12, 5));
        assert_eq!(place(&["größe", "7"]), (1, 1, 5));
        assert_eq!(place(&["last"]), (2, 1, 4));
    }

    #[test]
    fn what_is_refused() {
        let texts = [
            "a: 1\na: 2\nb: { c: 1, c: 1 }\n",
            "a: 1\n---\nb: 2\n",
            "a: !!str 12\n",
            "a: *nobody\n",
            "a: &a [*a]\n",
            "? [a, b]\n: c\n",
            ": c\n",
            "a: { <<: 1 }\n",
            "a:\n\tb: 1\n",
            "a: \"b\n",
            "a: [1, 2\nb: 3\n",
            "a: { b: 1 ]\n",
            "a: b: c\n",
            "a: 1\n  b: 2\n",
            "a:\n  epochs:12\n  b: 1\n",
            "a: @b\n",
            "a: \"\\d\"\n",
        ];
        let all: Vec<String> = texts.iter().map(|text| check(text)).collect();
        insta::assert_snapshot!(all.join("\n"), @r#"
        p.yaml:2:1: `a` is given twice; it is first on line 1; remove one
          |
        2 | a: 2
          | ^

        p.yaml:3:12: `c` is given twice; it is first on line 3; remove one
          |
        3 | b: { c: 1, c: 1 }
          |            ^

        p.yaml:2:1: a second document starts here; one file holds one pipeline: remove `---`
          |
        2 | ---
          | ^^^

        p.yaml:1:4: tags are not used here; remove it; quotes make text of a number
          |
        1 | a: !!str 12
          |    ^^^^^

        p.yaml:1:4: nothing above is marked `&nobody`; mark it, or write the value out
          |
        1 | a: *nobody
          |    ^^^^^^^

        p.yaml:1:8: an alias stands inside what it names; write the value out
          |
        1 | a: &a [*a]
          |        ^^

        p.yaml:1:3: a key must be text; if `{` or `[` is part of the text, put it in quotes
          |
        1 | ? [a, b]
          |   ^

        p.yaml:1:1: a key is missing before the `:`
          |
        1 | : c
          | ^

        p.yaml:1:6: `<<` merges mappings, not the number 1
          |
        1 | a: { <<: 1 }
          |      ^^

        p.yaml:2:2: this is not YAML: tabs disallowed within this context (block indentation); indent with blanks, not with tabs
          |
        2 |  b: 1
          |  ^

        p.yaml:2:1: this is not YAML: invalid indentation in multiline quoted scalar; look for a quote that is not closed
          |
        2 |
          | ^

        p.yaml:2:2: this is not YAML: illegal placement of ':' indicator; look for a missing `}`, `]` or `,`
          |
        2 | b: 3
          |  ^

        p.yaml:1:4: this is not YAML: mismatched bracket '{' closed by ']'; look for a missing `}`, `]` or `,`
          |
        1 | a: { b: 1 ]
          |    ^

        p.yaml:1:5: this is not YAML: mapping values are not allowed in this context; look at the indentation here, for a `:` without a blank on the line before, and for text with `: `, which needs quotes
          |
        1 | a: b: c
          |     ^

        p.yaml:2:4: this is not YAML: mapping values are not allowed in this context; look at the indentation here, for a `:` without a blank on the line before, and for text with `: `, which needs quotes
          |
        2 |   b: 2
          |    ^

        p.yaml:3:4: this is not YAML: mapping values are not allowed in this context; look at the indentation here, for a `:` without a blank on the line before, and for text with `: `, which needs quotes
          |
        3 |   b: 1
          |    ^

        p.yaml:1:4: this is not YAML: unexpected character: `@'; put the text in quotes
          |
        1 | a: @b
          |    ^

        p.yaml:1:4: this is not YAML: while parsing a quoted scalar, found unknown escape character; in double quotes a backslash is written `\\`; single quotes take it as it is
          |
        1 | a: "\d"
          |    ^
        "#);
    }

    #[test]
    fn depth_and_size_are_limited() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert!(check(&deep).contains("p.yaml:1:"), "{}", check(&deep));
        let by_aliases = (0..80).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect::<String>().replacen("*a-1", "x", 1);
        assert!(check(&by_aliases).contains("nested more than 64 levels deep"), "{}", check(&by_aliases));
        let laughs = (0..12).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(9))).collect::<String>();
        let laughs = laughs.replace("*a-1", "x");
        assert!(check(&laughs).contains("more than 100000 values"), "{}", check(&laughs));
    }
}
