//! The names of classes: what a list of them must be like, so that every file that names a class means one.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization as _;

use super::Label;
use crate::fault::Fault;
use crate::quote::excerpt;

/// The most classes that labels can tell apart.
const MOST: usize = Label::MAX as usize + 1;

/// What is wrong with a list of class names. Paths are positions in the list.
///
/// Names end up in files of one name a line and are compared with cells whose white space was taken away: so a name holds
/// no line break, and no two of them differ in white space around them or in how Unicode writes the same letters alone.
pub fn faults(classes: &[String]) -> Vec<Fault> {
    if classes.len() < 2 {
        let message = format!("there must be at least 2 classes, not {}", classes.len());
        return vec![Fault::new(&[], message, "name every class, in the order of the labels")];
    }
    if classes.len() > MOST {
        let message = format!("there can be at most {MOST} classes, not {}", classes.len());
        return vec![Fault::new(&[], message, "put classes together")];
    }
    let mut faults = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, class) in classes.iter().enumerate() {
        let mut add = |message: String, help: &str| faults.push(Fault::new(&[&index.to_string()], message, help));
        let shown = excerpt(class);
        if class.trim().is_empty() {
            add(format!("class {index} has no name"), "give it one");
            continue;
        }
        if class.contains(is_break) {
            add(format!("the name of class {index}, `{shown}`, has control characters"), "write it without them");
            continue;
        }
        if let Some(first) = seen.insert(folded(class), index) {
            let message = match classes[first] == *class {
                true => format!("two classes are called `{shown}`, {first} and {index}"),
                false => format!(
                    "classes {first} and {index} are both called `{}`, but for invisible differences",
                    excerpt(&classes[first]).trim()
                ),
            };
            add(message, "give each class a name of its own");
        }
    }
    faults
}

/// What two names have in common that look the same.
fn folded(name: &str) -> String {
    name.trim().nfc().collect()
}

fn is_break(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(classes: &[&str]) -> String {
        let classes: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
        let faults = faults(&classes);
        faults.iter().map(|fault| format!("{}: {fault}", fault.path.join("."))).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn names_of_classes_tell_them_apart() {
        assert_eq!(check(&["a", "b", "A", "Ångström", "x²", "x2", "👩‍🔬"]), "");
        insta::assert_snapshot!(check(&["a"]), @": there must be at least 2 classes, not 1; name every class, in the order of the labels");
        insta::assert_snapshot!(check(&["b", "", "b", " ", "é", "e\u{301}", "b ", "c\nd"]), @r"
        1: class 1 has no name; give it one
        2: two classes are called `b`, 0 and 2; give each class a name of its own
        3: class 3 has no name; give it one
        5: classes 4 and 5 are both called `é`, but for invisible differences; give each class a name of its own
        6: classes 2 and 6 are both called `b`, but for invisible differences; give each class a name of its own
        7: the name of class 7, `c\nd`, has control characters; write it without them
        ");
        let many: Vec<String> = (0..257).map(|class| class.to_string()).collect();
        assert_eq!(faults(&many).len(), 1);
        assert!(faults(&many[..256]).is_empty());
    }
}
