//! Drawings of the graph: a tree for the terminal, Graphviz and Mermaid. What is said beside a stage's name is the
//! caller's: its kind, its state.

use std::fmt::Write as _;

use super::{Graph, StageId};

impl Graph {
    /// A tree for the terminal, every stage once, below the last of its inputs to run; its other inputs stand behind
    /// `+`, so that every edge is shown. `label` is one line, put in a column of its own; it may be empty.
    ///
    /// ```text
    /// raw            fetch
    /// └─ parts       split
    ///    ├─ basic    train
    ///    └─ optimum  train
    ///       └─ vote  ensemble  + basic, parts
    /// ```
    pub fn text(&self, label: impl Fn(&StageId) -> String) -> String {
        let order: Vec<&StageId> = self.order().collect();
        let position = |id: &StageId| order.iter().position(|other| *other == id);
        let parent = |id: &StageId| self.inputs(id).into_iter().max_by_key(|input| position(input));
        let mut rows = Vec::with_capacity(order.len());
        // Depth first; what is pushed last is drawn first.
        let mut open: Vec<(&StageId, String, String)> = Vec::new();
        let roots = order.iter().filter(|id| parent(id).is_none());
        open.extend(roots.rev().map(|root| (*root, String::new(), String::new())));
        while let Some((id, branch, indent)) = open.pop() {
            let others: Vec<&str> =
                self.inputs(id).into_iter().filter(|input| Some(*input) != parent(id)).map(StageId::as_str).collect();
            rows.push((format!("{branch}{id}"), label(id), others.join(", ")));
            let children = order.iter().filter(|child| parent(child) == Some(id)).rev();
            open.extend(children.enumerate().map(|(from_last, child)| {
                let (branch, below) = if from_last == 0 { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                (*child, format!("{indent}{branch}"), format!("{indent}{below}"))
            }));
        }
        let width = |text: &String| text.chars().count();
        let widest = |column: fn(&(String, String, String)) -> &String| rows.iter().map(column).map(width).max().unwrap_or(0);
        let (names, labels) = (widest(|row| &row.0), widest(|row| &row.1));
        let mut text = String::new();
        for (name, label, others) in &rows {
            let others = if others.is_empty() { String::new() } else { format!("+ {others}") };
            text.push_str(format!("{name:names$}  {label:labels$}  {others}").trim_end());
            text.push('\n');
        }
        text
    }

    /// A Graphviz drawing, from left to right.
    pub fn dot(&self, label: impl Fn(&StageId) -> String) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
        let mut text =
            String::from("digraph pipeline {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
        for id in self.order() {
            let _ = writeln!(text, "  {} [label={}];", quoted(id.as_str()), quoted(&joined(id, &label(id), "\n")));
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  {} -> {};", quoted(from.as_str()), quoted(to.as_str()));
        }
        text + "}\n"
    }

    /// A Mermaid flowchart, from left to right. Nodes are numbered, as a stage may be called `end`, which is a word of
    /// Mermaid's own.
    pub fn mermaid(&self, label: impl Fn(&StageId) -> String) -> String {
        let order: Vec<&StageId> = self.order().collect();
        let number = |id: &StageId| order.iter().position(|other| *other == id).map_or(0, |position| position + 1);
        let escaped = |text: &str| {
            let text = text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
            text.replace('\n', "<br/>")
        };
        let mut text = String::from("flowchart LR\n");
        for id in &order {
            let _ = writeln!(text, "  s{}[\"{}\"]", number(id), escaped(&joined(id, &label(id), "\n")));
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  s{} --> s{}", number(from), number(to));
        }
        text
    }

    /// Every edge, from the stage that is read to the one that reads it, in running order of the reader.
    pub fn edges(&self) -> Vec<(&StageId, &StageId)> {
        self.order().flat_map(|to| self.inputs(to).into_iter().map(move |from| (from, to))).collect()
    }
}

fn joined(id: &StageId, label: &str, separator: &str) -> String {
    if label.is_empty() { id.to_string() } else { format!("{id}{separator}{label}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let stages = "raw; parts raw; basic parts; optimum parts; vote basic optimum parts; end vote; alone";
        let id = |name: &str| name.parse::<StageId>().unwrap();
        let node = |text: &str| {
            let mut names = text.split_whitespace().map(id);
            (names.next().unwrap(), names.collect())
        };
        Graph::new(stages.split(';').map(node).collect()).unwrap()
    }

    fn label(id: &StageId) -> String {
        match id.as_str() {
            "raw" => "fetch",
            "parts" => "split",
            "vote" => "ensemble \"soft\" <2>",
            "alone" => "",
            _ => "train",
        }
        .to_owned()
    }

    #[test]
    fn the_tree_shows_every_stage_once_and_every_edge() {
        insta::assert_snapshot!(graph().text(label), @r#"
        raw              fetch
        └─ parts         split
           ├─ basic      train
           └─ optimum    train
              └─ vote    ensemble "soft" <2>  + basic, parts
                 └─ end  train
        alone
        "#);
    }

    #[test]
    fn graphviz() {
        insta::assert_snapshot!(graph().dot(label), @r#"
        digraph pipeline {
          rankdir=LR;
          node [shape=box, style=rounded, fontname="sans-serif"];
          "raw" [label="raw\nfetch"];
          "parts" [label="parts\nsplit"];
          "basic" [label="basic\ntrain"];
          "optimum" [label="optimum\ntrain"];
          "vote" [label="vote\nensemble \"soft\" <2>"];
          "end" [label="end\ntrain"];
          "alone" [label="alone"];
          "raw" -> "parts";
          "parts" -> "basic";
          "parts" -> "optimum";
          "basic" -> "vote";
          "optimum" -> "vote";
          "parts" -> "vote";
          "vote" -> "end";
        }
        "#);
    }

    #[test]
    fn mermaid() {
        insta::assert_snapshot!(graph().mermaid(label), @r#"
        flowchart LR
          s1["raw<br/>fetch"]
          s2["parts<br/>split"]
          s3["basic<br/>train"]
          s4["optimum<br/>train"]
          s5["vote<br/>ensemble &quot;soft&quot; &lt;2&gt;"]
          s6["end<br/>train"]
          s7["alone"]
          s1 --> s2
          s2 --> s3
          s2 --> s4
          s3 --> s5
          s4 --> s5
          s2 --> s5
          s5 --> s6
        "#);
    }

    #[test]
    fn nothing_is_drawn_of_an_empty_graph() {
        assert_eq!(Graph::new(Vec::new()).unwrap().text(label), "");
    }
}
