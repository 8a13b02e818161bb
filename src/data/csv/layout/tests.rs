//! What is made of first rows: by name, by place, or refused with advice.
#![cfg(test)]

use super::super::{Advised, Delimiter, in_yaml};
use super::*;

const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 2 };

/// Understands a table of lines, with three classes.
fn table(text: &str, options: &str, label: LabelColumn, passthrough: &[&str]) -> Result<CsvLayout, LayoutError> {
    let head: Vec<ByteRecord> = text.lines().map(|line| ByteRecord::from(line.split(',').collect::<Vec<_>>())).collect();
    let columns: CsvOptions = serde_json::from_str(options).unwrap();
    let classes = ["Bag", "Coat", "Dress"].map(str::to_owned);
    let passthrough: Vec<String> = passthrough.iter().map(|name| (*name).to_owned()).collect();
    CsvLayout::new(&head, &Wanted { columns: &columns, shape: SHAPE, classes: &classes, label, passthrough: &passthrough })
}

fn layout(text: &str, options: &str, passthrough: &[&str]) -> Result<CsvLayout, LayoutError> {
    table(text, options, LabelColumn::Required, passthrough)
}

fn check(text: &str, options: &str, label: Option<usize>, pixels: [usize; 4]) -> String {
    let layout = table(text, options, LabelColumn::Optional, &[]).unwrap();
    assert_eq!((layout.label, layout.pixels.as_slice()), (label, &pixels[..]), "{text}");
    layout.notes.iter().map(|note| note.in_words(in_yaml)).collect::<Vec<_>>().join("\n")
}

fn error(text: &str, options: &str) -> String {
    layout(text, options, &[]).unwrap_err().in_words(in_yaml)
}

#[test]
fn columns_are_found_by_name_in_any_order_or_by_place() {
    for (text, options, label, pixels) in [
        ("label,pixel1,pixel2,pixel3,pixel4", "{}", 0, [1, 2, 3, 4]),
        ("pixel0,pixel1,pixel2,pixel3,label", "{}", 4, [0, 1, 2, 3]),
        ("pixel4,pixel3,label,pixel1,pixel2", "{}", 2, [3, 4, 1, 0]),
        ("id,y,p1,p2,p3,p4", r#"{"label": "y", "pixels": "p{n}", "ignore": ["id"]}"#, 1, [2, 3, 4, 5]),
        ("9,0,0,255,12", "{}", 0, [1, 2, 3, 4]),
        ("Bag,0,0,255,12", "{}", 0, [1, 2, 3, 4]),
        ("label,0,1,2,3", r#"{"pixels": "{n}"}"#, 0, [1, 2, 3, 4]),
        ("2x1,1x1,y,1x2,2x2", r#"{"pixels": "{row}x{column}", "label": "y"}"#, 2, [1, 3, 0, 4]),
        ("2x1,1x1,y,1x2,2x2", r#"{"pixels": "{column}x{row}", "label": 3}"#, 2, [1, 0, 3, 4]),
        ("a,pixel1,pixel2,pixel3,pixel4", r#"{"label": "first"}"#, 0, [1, 2, 3, 4]),
        ("0,0,255,12,1", r#"{"label": "last"}"#, 4, [0, 1, 2, 3]),
        ("0,1,0,255,12", r#"{"label": 2}"#, 1, [0, 2, 3, 4]),
        ("7,1,0,255,12,0", r#"{"label": 2, "ignore": ["first"]}"#, 1, [2, 3, 4, 5]),
        ("label,x,pixel1,pixel2,pixel3,pixel4,y", r#"{"ignore": ["*"]}"#, 0, [2, 3, 4, 5]),
    ] {
        assert_eq!(check(text, options, Some(label), pixels), "", "{text}");
    }
}

#[test]
fn header_by_grid_is_read_without_options() {
    for (names, pattern) in [
        ("1x1,1x2,2x1,2x2", "{row}x{column}"),
        ("pixel_0_0,pixel_0_1,pixel_1_0,pixel_1_1", "pixel_{row}_{column}"),
        ("p1,p2,p3,p4", "p{n}"),
    ] {
        let told = format!(
            r#"the columns of the pixels are `{pattern}`; to make sure of that, set `columns: {{ pixels: "{pattern}" }}`"#
        );
        assert_eq!(check(&format!("label,{names}"), "{}", Some(0), [1, 2, 3, 4]), told);
        let options = serde_json::json!({ "pixels": pattern }).to_string();
        assert_eq!(check(&format!("label,{names}"), &options, Some(0), [1, 2, 3, 4]), "", "the advice works");
    }
    insta::assert_snapshot!(error("label,1x1,1x2,1x3,2x1,2x2,2x3", "{}"), @"the names of the columns tell images of 2 rows and 3 columns, not 1×2×2");
    let unclear = error("label,1x1,2x1,1x2,2x2", "{}");
    insta::assert_snapshot!(unclear, @r#"which columns are the pixels, and in which order, can be understood in 2 ways; to settle it, set `columns: { pixels: "{row}x{column}" }`; to settle it, set `columns: { pixels: "{column}x{row}" }`"#);
    check("label,1x1,2x1,1x2,2x2", r#"{"pixels": "{column}x{row}"}"#, Some(0), [1, 2, 3, 4]);
}

#[test]
fn header_of_numbers_is_recognised_and_told() {
    let rows = "7,200,9,33\n8,90,8,34\n99,1,240,20";
    insta::assert_snapshot!(check(&format!("0,1,2,3\n{rows}"), "{}", None, [0, 1, 2, 3]), @r#"
    the columns of the pixels are `{n}`; to make sure of that, set `columns: { pixels: "{n}" }`
    the first row (`0`, `1`, `2`, `3`) counts the columns and is taken for their names; if it is an image, set `columns: { header: no }`
    "#);
    assert!(
        !table("0,1,2,3\n7,200,9,33", r#"{"header": "no"}"#, LabelColumn::Optional, &[]).unwrap().has_header,
        "the advice works"
    );
    let rows = "0,7,200,9,33\n1,8,90,8,34\n1,99,1,240,20\n2,5,6,7,81";
    check(&format!("label,0,1,2,3\n{rows}"), "{}", Some(0), [1, 2, 3, 4]);
    check(&format!(",0,1,2,3\n{rows}"), "{}", None, [1, 2, 3, 4]);
    check(&format!("Unnamed: 0,0.0,1.0,2.0,3.0\n{rows}"), "{}", None, [1, 2, 3, 4]);
    check(&format!("0,1,2,3,4\n{rows}"), "{}", Some(0), [1, 2, 3, 4]);
    check(&format!("1,2,3,4,5\n{rows}"), "{}", Some(0), [1, 2, 3, 4]);
    check("0,1,2,3,4\n7,200,9,33,0\n8,90,8,34,1\n99,1,240,20,2", "{}", Some(4), [0, 1, 2, 3]);
    check("id,0,1,2,3,4\na,7,200,9,33,0\nb,8,90,8,34,1\nc,99,1,240,20,2", "{}", Some(5), [1, 2, 3, 4]);
    check("0,1,2,3,label\n7,200,9,33,0", "{}", Some(4), [0, 1, 2, 3]);
    insta::assert_snapshot!(check("2,0,0.1,255,0.2\n1,7,200,9,33\n0,8,9,100,34", "{}", Some(0), [1, 2, 3, 4]), @"the first row (`2`, `0`, `0.1`, `255` and 1 more) seems to be an image that was once taken for names; it is passed over");
}

#[test]
fn index_column_is_recognised_passed_over_and_told() {
    for name in ["", "Unnamed: 0", "index", "id", "ID"] {
        let header = format!("{name},label,pixel1,pixel2,pixel3,pixel4");
        let told = check(&header, "{}", Some(1), [2, 3, 4, 5]);
        let name = if name.is_empty() { "a column without a name".to_owned() } else { format!("the column `{name}`") };
        assert_eq!(told, format!("{name} is passed over"));
    }
    check("label,pixel1,pixel2,pixel3,pixel4,", "{}", Some(0), [1, 2, 3, 4]);
    let rows = |label_last: bool| -> String {
        let line = |row: usize| match label_last {
            true => format!("{row},9,{},200,7,{}\n", row * 20 + 9, row % 3),
            false => format!("{row},{},9,{},200,7\n", row % 3, row * 20 + 9),
        };
        (0..9).map(line).collect()
    };
    let told = check(&rows(false), "{}", Some(1), [2, 3, 4, 5]);
    insta::assert_snapshot!(told, @r#"the first column counts the rows and is passed over; if it is the label, set `columns: { label: "first" }`"#);
    check(&rows(true), "{}", Some(5), [1, 2, 3, 4]);
    let without_label: String = (0..9).map(|row| format!("{row},9,{},200,7\n", row * 20 + 9)).collect();
    check(&without_label, "{}", None, [1, 2, 3, 4]);
    insta::assert_snapshot!(error(&without_label, "{}"), @r#"the file has no labels: its first column counts the rows, and all others are pixels; if it is the label, set `columns: { label: "first" }`"#);
    check(&without_label, r#"{"label": "first"}"#, Some(0), [1, 2, 3, 4]);
}

#[test]
fn no_header_label_last_is_recognised_or_refused_and_never_one_class_in_silence() {
    let last = "9,200,3,7,0\n80,9,9,200,2\n200,4,7,9,1\n7,7,80,80,0";
    insta::assert_snapshot!(check(last, "{}", Some(4), [0, 1, 2, 3]), @r#"the label is taken from the last column; if it is the first, set `columns: { label: "first" }`"#);
    let black_corner = "0,200,3,7,0\n0,9,9,200,2\n0,4,7,9,1\n0,7,80,80,0";
    insta::assert_snapshot!(error(black_corner, "{}"), @r#"the label can be in the first column or in the last: nearly all rows of the first hold the same, and the last may hold labels; if it is in the first, set `columns: { label: "first" }`; if it is in the last, set `columns: { label: "last" }`"#);
    // Where the first column is another, the advice names the right one.
    let after_ids: String = black_corner.lines().map(|line| format!("id7,{line}\n")).collect();
    let told = error(&after_ids, r#"{"ignore": ["first"]}"#);
    assert!(told.contains(r#"if it is in the first, set `columns: { label: "2" }`"#), "{told}");
    check(&after_ids, r#"{"ignore": ["first"], "label": "2"}"#, Some(1), [2, 3, 4, 5]);
    let told = error(&format!("V1,V2,V3,V4,V5\n{black_corner}"), "{}");
    assert!(told.contains(r#"if it is in the first, set `columns: { label: "V1" }`"#), "{told}");
    check(black_corner, r#"{"label": "last"}"#, Some(4), [0, 1, 2, 3]);
    check(black_corner, r#"{"label": "first"}"#, Some(0), [1, 2, 3, 4]);
    let first = "0,200,3,7,0\n2,9,9,200,0\n1,4,7,9,0\n0,7,80,80,0";
    assert_eq!(check(first, "{}", Some(0), [1, 2, 3, 4]), "");
}

#[test]
fn the_place_of_the_label_is_checked_by_all_rows() {
    let classes = ["0", "1", "2"].map(str::to_owned);
    let of = |text: &str| {
        let head: Vec<ByteRecord> = text.lines().map(|line| ByteRecord::from(line.split(',').collect::<Vec<_>>())).collect();
        let (columns, passthrough) = (CsvOptions::default(), &[][..]);
        CsvLayout::new(
            &head,
            &Wanted { columns: &columns, shape: SHAPE, classes: &classes, label: LabelColumn::Required, passthrough },
        )
        .unwrap()
    };
    // Sorted by class: the first rows are all of class 0, in the last column; the first one is a gray corner.
    let layout = of("1,1,2,30,0\n1,4,5,60,0");
    assert_eq!(layout.label, Some(0));
    let pixels: Vec<u8> = (0..30).flat_map(|row| [1, 2, 30, row / 10]).collect();
    assert!(layout.check_label_place(&[1; 30], &pixels, &classes).is_err());
    let labels: Vec<Label> = (0..30).map(|row| row / 10).collect();
    let corner: Vec<u8> = (0..30).flat_map(|_| [1, 2, 30, 0]).collect();
    assert!(layout.check_label_place(&labels, &corner, &classes).is_ok());
}

#[test]
fn a_header_can_be_forced() {
    assert!(layout("9,0,0,255,12", r#"{"header": "yes"}"#, &[]).is_err());
    assert!(!layout("a,b,c,d,e", r#"{"header": "no", "label": "first"}"#, &[]).unwrap().has_header());
}

#[test]
fn a_label_may_be_missing_only_where_it_is_optional() {
    let header = "pixel1,pixel2,pixel3,pixel4";
    assert_eq!(table(header, "{}", LabelColumn::Optional, &[]).unwrap().label(), None);
    insta::assert_snapshot!(error(header, "{}"), @"no column is called `label`, and there is no other that could hold the label");
    insta::assert_snapshot!(error("1,2,3,5", "{}"), @"the file has no header, and no column beside the pixels that could hold the label");
    insta::assert_snapshot!(error("id,class,pixel1,pixel2,pixel3,pixel4", "{}"), @r#"no column is called `label`, but there is `class`, `id`; if that is the label, set `columns: { label: "class" }`"#);
    assert_eq!(
        check("id,class,pixel1,pixel2,pixel3,pixel4", r#"{"label": "class"}"#, Some(1), [2, 3, 4, 5]),
        "the column `id` is passed over"
    );
    insta::assert_snapshot!(check("pixel1,pixel2,pixel3,pixel4", r#"{"label": "class"}"#, None, [0, 1, 2, 3]), @"no column is called `class`, so there are no labels");
}

#[test]
fn passed_columns_keep_the_order_asked_for() {
    let found = layout("id,label,shop,pixel1,pixel2,pixel3,pixel4", "{}", &["shop", "id"]).unwrap();
    let names: Vec<_> = found.passed().iter().map(|column| (column.index, column.name.as_str())).collect();
    assert_eq!(names, [(2, "shop"), (0, "id")]);
    let error = layout("label,pixel1,pixel2,pixel3,pixel4", "{}", &["id"]).unwrap_err();
    insta::assert_snapshot!(error, @"there is no column `id` to pass through");
}

#[test]
fn what_is_wrong_with_the_columns_is_said_in_one_short_line_with_advice_that_works() {
    let error = |first| error(first, "{}");
    insta::assert_snapshot!(error("label,p1,p2,p3"), @"none of the 4 columns (`label`, `p1`, `p2` and 1 more) is called `pixel{n}`");
    insta::assert_snapshot!(error("label,a,b,c,d"), @"none of the 5 columns (`label`, `a`, `b` and 2 more) is called `pixel{n}`");
    insta::assert_snapshot!(error("label,pixel1,pixel2,pixel4"), @"`pixel3` is missing: a 1×2×2 image has 4 pixel columns");
    insta::assert_snapshot!(error("label,pixel1,pixel2,pixel3,pixel4,pixel5"), @"5 pixel columns are more than the 4 pixels of a 1×2×2 image; is the shape of the images as it is said?");
    insta::assert_snapshot!(error("label,pixel1,pixel2,pixel3,pixel4,pixel4"), @"two columns are called `pixel4`: column 5 and column 6");
    insta::assert_snapshot!(error("label,pixel1,pixel2,pixel3,pixel4,shop"), @r#"`shop` is neither the label nor a pixel; to pass over what is neither, set `columns: { ignore: ["shop"] }`"#);
    insta::assert_snapshot!(error("1,2,3"), @"the file has no header, and 3 columns are neither the 4 pixels of a 1×2×2 image nor a label and these pixels");
    insta::assert_snapshot!(error("label,\u{1b}[31mpix\u{1b}[0m1,x"), @r"the name of column 2 holds control characters: `\u{1b}[31mpix\u{1b}[0m1`; write the header as plain text");
    let many: String = (0..2_000).map(|n| format!(",other{n}")).collect();
    let header = format!("label,pixel1,pixel2,pixel3,pixel4{many}");
    insta::assert_snapshot!(error(&header), @r#"`other0`, `other1`, `other2`, `other3`, `other4` and 1995 more are neither the label nor a pixel; to pass over what is neither, set `columns: { ignore: ["*"] }`"#);
    check(&header, r#"{"ignore": ["*"]}"#, Some(0), [1, 2, 3, 4]);
    check("label,pixel1,pixel2,pixel3,pixel4,shop", r#"{"ignore": ["shop"]}"#, Some(0), [1, 2, 3, 4]);
    let long = format!("label,pixel1,pixel2,pixel3,pixel4,{}", "x".repeat(14_000));
    assert!(error(&long).len() < 200);
    assert!(error(&format!("{0},{0}", "y".repeat(14_000))).len() < 200);
    assert_eq!(Delimiter::default().word(), "auto");
}

#[test]
fn names_that_only_count_the_columns_tell_as_little_as_none() {
    let rows = "2,7,200,9,33\n1,8,90,8,34\n0,99,1,240,20";
    let header = |from: usize| (from..from + 5).map(|n| format!("V{n}")).collect::<Vec<_>>().join(",");
    insta::assert_snapshot!(check(&format!("{}\n{rows}", header(1)), "{}", Some(0), [1, 2, 3, 4]), @"the names of the columns (`V1`, `V2`, `V3`, `V4` and 1 more) only count them");
    for options in [r#"{"label": "V1"}"#, r#"{"label": "first"}"#] {
        check(&format!("{}\n{rows}", header(1)), options, Some(0), [1, 2, 3, 4]);
    }
    insta::assert_snapshot!(check(&format!("{}\n{rows}", header(0)), r#"{"label": "V0"}"#, Some(0), [1, 2, 3, 4]), @"the columns of the pixels are `V{n}`");
    check(&format!("label,V2,V3,V4,V5\n{rows}"), "{}", Some(0), [1, 2, 3, 4]);
    // Other columns among them are named before anything is guessed.
    let others = format!("{}\nx,2,7,200,9,33", "name,0,1,2,3,4");
    insta::assert_snapshot!(error(&others, "{}"), @r#"`name` is neither the label nor a pixel; to pass over what is neither, set `columns: { ignore: ["name"] }`"#);
    for options in [r#"{"ignore": ["name"]}"#, r#"{"ignore": ["*"]}"#] {
        check(&others, options, Some(1), [2, 3, 4, 5]);
    }
}

#[test]
fn a_column_that_is_passed_through_is_understood_as_without() {
    for (text, passed) in [
        ("label,1x1,1x2,2x1,2x2\n0,7,200,9,33", "1x1"),
        ("label,p1,p2,p3,p4\n0,7,200,9,33", "p2"),
        ("0,1,2,3,4\n2,7,200,9,33\n1,8,90,8,34\n0,99,1,240,20", "0"),
        ("0,1,2,3,4\n2,7,200,9,33\n1,8,90,8,34\n0,99,1,240,20", "3"),
        ("name,0,1,2,3,4\nx,2,7,200,9,33", "name"),
    ] {
        let without = layout(text, r#"{"ignore": ["*"]}"#, &[]).unwrap();
        let with = layout(text, "{}", &[passed]).unwrap();
        assert_eq!((with.label, &with.pixels), (without.label, &without.pixels), "{text}");
        assert_eq!(with.passed[0].name, passed);
    }
    // What is to be ignored is no pixel.
    insta::assert_snapshot!(error("label,pixel1,pixel2,pixel3,pixel4", r#"{"ignore": ["pixel1"]}"#), @"`pixel1` is missing: a 1×2×2 image has 4 pixel columns");
    check("0,1,2,3,4,5\n2,7,200,9,33,5", r#"{"ignore": ["5"]}"#, Some(0), [1, 2, 3, 4]);
}

#[test]
fn what_is_said_of_a_table_without_names_is_true_and_its_advice_works() {
    let ids = "a,2,7,200,9,33\nb,1,8,90,8,34";
    let told = error(ids, "{}");
    insta::assert_snapshot!(told, @r#"the file has no header, and 6 columns are neither the 4 pixels of a 1×2×2 image nor a label and these pixels; to pass over the first, set `columns: { ignore: ["first"] }`; to pass over the last, set `columns: { ignore: ["last"] }`"#);
    check(ids, r#"{"ignore": ["first"]}"#, Some(1), [2, 3, 4, 5]);
    check(ids, r#"{"ignore": [1], "label": 2}"#, Some(1), [2, 3, 4, 5]);
    assert_eq!(error(ids, r#"{"label": 2}"#), told);
    // A single row counts nothing.
    assert!(error("3,7,200,9,33,77", "{}").starts_with("the file has no header, and 6 columns are neither"));
    // No word of an index that is not there.
    insta::assert_snapshot!(error("a,7,200,9,33", r#"{"ignore": ["first"]}"#), @"the file has no header, and no column beside the pixels that could hold the label");
    insta::assert_snapshot!(check("2,7,200,9,33,\n1,8,90,8,34,", "{}", Some(0), [1, 2, 3, 4]), @"the last column is empty and is passed over");
    let counting: String = (0..7).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    insta::assert_snapshot!(error(&format!("{counting}\n2,7,200,9,33,1,9"), "{}"), @"the header only counts the columns, and 7 columns are neither the 4 pixels of a 1×2×2 image nor a label and these pixels");
}

#[test]
fn a_name_that_goes_on_to_another_line_is_told_as_what_it_is() {
    let head = ByteRecord::from(vec!["label,pixel1\n0", "pixel2"]);
    let wanted =
        Wanted { columns: &CsvOptions::default(), shape: SHAPE, classes: &[], label: LabelColumn::Required, passthrough: &[] };
    insta::assert_snapshot!(CsvLayout::new(&[head], &wanted).unwrap_err(), @r"the name of column 1 holds control characters: `label,pixel1\n0`; it goes on to another line: is a quote in the header closed too late?");
}

#[test]
fn a_small_header_of_numbers_is_told() {
    let (columns, classes) = (CsvOptions::default(), ["a", "b", "c"].map(str::to_owned));
    let shape = ImageShape { channels: 1, height: 1, width: 2 };
    let of = |columns: &CsvOptions| {
        let head: Vec<ByteRecord> =
            ["0,1,2", "0,50,200", "2,70,130"].map(|line| ByteRecord::from(line.split(',').collect::<Vec<_>>())).into();
        CsvLayout::new(&head, &Wanted { columns, shape, classes: &classes, label: LabelColumn::Required, passthrough: &[] })
            .unwrap()
    };
    let told = of(&columns).notes().iter().map(|note| note.in_words(in_yaml)).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(told, @"the first row (`0`, `1`, `2`) counts up and is taken for an image; if it holds the names of the columns, set `columns: { header: yes }`");
    let layout = of(&CsvOptions { header: Header::Yes, ..columns });
    assert!(layout.has_header && layout.label == Some(0), "the advice works");
}

#[test]
fn differing_columns_are_named() {
    let difference = |a, b| layout(a, "{}", &[]).unwrap().difference(&layout(b, "{}", &[]).unwrap());
    assert_eq!(difference("1,2,3,4,6", "2,7,8,9,0"), None);
    insta::assert_snapshot!(difference("1,2,3,4,6", "label,pixel1,pixel2,pixel3,pixel4").unwrap(), @"one has no header, the other has a header");
    insta::assert_snapshot!(
        difference("label,pixel1,pixel2,pixel3,pixel4", "label,pixel2,pixel1,pixel3,pixel4").unwrap(), @"column 2 is `pixel1` in one and `pixel2` in the other (2 columns differ)");
}
