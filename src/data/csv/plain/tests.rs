//! The quick way against the `csv` crate and `parse_row`: what it takes, it must take for the same.
#![cfg(test)]

use ::csv::ByteRecord;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::data::ImageShape;
use crate::data::csv::{CsvOptions, LabelColumn, Wanted, reader};

const SHAPE: ImageShape = ImageShape { channels: 1, height: 4, width: 5 };
const PIXELS: usize = 20;

fn classes() -> Vec<String> {
    ["Dress", "Bag", "T-shirt, \"top\""].map(str::to_owned).to_vec()
}

/// A layout with some columns before and after the pixels, and `id` and `note` to be passed through.
fn layout(before: &[&str], after: &[&str], passed: &[&str]) -> CsvLayout {
    let pixels: Vec<String> = (0..PIXELS).map(|n| format!("pixel{n}")).collect();
    let names: Vec<String> =
        before.iter().map(|name| (*name).to_owned()).chain(pixels).chain(after.iter().map(|name| (*name).to_owned())).collect();
    let options = CsvOptions { ignore: vec!["other".to_owned()], ..CsvOptions::default() };
    let passed: Vec<String> = passed.iter().map(|name| (*name).to_owned()).collect();
    understood(names, &options, &passed)
}

fn understood(names: Vec<String>, columns: &CsvOptions, passthrough: &[String]) -> CsvLayout {
    let classes = classes();
    let wanted = Wanted { columns, shape: SHAPE, classes: &classes, label: LabelColumn::Optional, passthrough };
    CsvLayout::new(&[ByteRecord::from(names)], &wanted).unwrap()
}

fn layouts() -> Vec<CsvLayout> {
    vec![
        layout(&["label"], &[], &[]),
        layout(&[], &[], &[]),
        layout(&[], &["label"], &[]),
        layout(&["id", "label"], &["note"], &["note", "id"]),
        layout(&["other"], &["id", "other2", "label"], &["id", "other2"]),
    ]
}

type Row = (Option<Label>, Vec<u8>, Vec<Vec<u8>>);

/// What the `csv` crate and `parse_row` make of a row.
fn oracle(layout: &CsvLayout, row: &[u8]) -> Option<Row> {
    let text = [b"\n", row].concat();
    let mut record = ByteRecord::new();
    assert!(reader(text.as_slice()).read_byte_record(&mut record).unwrap());
    let mut pixels = vec![0; PIXELS];
    let label = layout.parse_row(&record, &classes(), &mut pixels).ok()?;
    Some((label, pixels, layout.passed().iter().map(|column| record[column.index].to_vec()).collect()))
}

fn quick(layout: &CsvLayout, row: &[u8]) -> Option<Row> {
    let mut plain = layout.plain().unwrap();
    let mut pixels = vec![0; PIXELS];
    let mut passed = Cells::default();
    passed.push(b"of the row before");
    let label = plain.parse(row, &classes(), &mut pixels, &mut passed);
    assert!(label.is_some() || passed.len() == 1, "a row that is not plain passes nothing");
    Some((label?, pixels, (1..passed.len()).map(|index| passed.get(index).to_vec()).collect()))
}

/// Whether the quick way took the row; if so, as the slow way takes it.
fn check(layout: &CsvLayout, row: &[u8]) -> bool {
    let found = quick(layout, row);
    if found.is_some() {
        assert_eq!(found, oracle(layout, row), "{:?}", String::from_utf8_lossy(row));
    }
    found.is_some()
}

/// Rows that are nearly right: mostly cells that the quick way takes, now and then anything else.
fn rows() -> impl Strategy<Value = Vec<u8>> {
    let cell = prop_oneof![
        400 => (0..=255_u32).prop_map(|value| value.to_string()),
        4 => "[0-9]{1,3}",
        1 => "[0-9 +.\"a-]{0,5}",
        1 => "\"[0-9]{1,3}\"",
        1 => Just(String::new()),
    ];
    let label = prop_oneof![3 => "[0-3]", 1 => "Bag|Dress|\"T-shirt, \"\"top\"\"\"|x", 1 => " [0-2] "];
    let text = prop_oneof![3 => "[a-z]{0,9}", 1 => "\"([a-z,\n\r]|\"\"){0,9}\"", 1 => "\"[a-z,\"]{0,5}", 1 => "[a-z\"]{1,5}"];
    let width = prop_oneof![30 => Just(PIXELS), 1 => 0..PIXELS + 3];
    let pixels = width.prop_flat_map(move |width| proptest::collection::vec(cell.clone(), width));
    // The columns around the pixels: those of one of the layouts, or any others.
    let any = prop_oneof![label.clone(), text.clone()];
    let around = prop_oneof![
        4 => (label.clone().prop_map(|label| vec![label]), Just(Vec::new())),
        2 => (Just(Vec::new()), Just(Vec::new())),
        2 => (Just(Vec::new()), label.clone().prop_map(|label| vec![label])),
        4 => (
            (text.clone(), label.clone()).prop_map(|(text, label)| vec![text, label]),
            text.clone().prop_map(|text| vec![text])
        ),
        4 => (
            text.clone().prop_map(|text| vec![text]),
            (text.clone(), text, label).prop_map(|(one, two, label)| vec![one, two, label])
        ),
        1 => (proptest::collection::vec(any.clone(), 0..3), proptest::collection::vec(any, 0..4)),
    ];
    (around, pixels)
        .prop_map(|((before, after), pixels)| [before, pixels, after].concat().join(",").into_bytes())
        // Only what is one record to the `csv` crate is a row.
        .prop_filter_map("more or less than a row", |text| {
            let range = crate::data::csv::last_record(&text)?;
            (range == (0..text.len())).then_some(text)
        })
}

/// Compares the two ways on `cases` rows with every layout; how many rows the quick way took.
fn fuzz(cases: u32) -> u64 {
    let layouts = layouts();
    let taken = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&rows(), |row| {
        taken.set(taken.get() + layouts.iter().filter(|layout| check(layout, &row)).count() as u64);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    taken.get()
}

#[test]
fn what_the_quick_way_takes_it_takes_as_the_slow_way_does() {
    let taken = fuzz(2_000);
    assert!((500..8_000).contains(&taken), "the sample must hold plain rows and others, but {taken} were plain");
}

/// Run by hand: `cargo test --release millions_of_rows -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
#[expect(clippy::print_stderr, reason = "its result is a figure")]
fn millions_of_rows() {
    let start = std::time::Instant::now();
    let taken = fuzz(3_000_000);
    eprintln!("3,000,000 rows with 5 layouts, {taken} taken, {:.1} s", start.elapsed().as_secs_f64());
}

#[test]
fn plain_rows_are_taken_and_others_are_not() {
    let image: Vec<String> = [0, 7, 10, 99, 100, 255].iter().cycle().take(PIXELS).map(u8::to_string).collect();
    let image = image.join(",");
    let [first, bare, last, both, _] = layouts().try_into().unwrap();
    assert!(check(&first, format!("2,{image}").as_bytes()));
    assert!(check(&first, format!("Bag,{image}").as_bytes()));
    assert!(check(&bare, image.as_bytes()));
    assert!(check(&last, format!("{image},1").as_bytes()));
    assert!(check(&both, format!("\"a,\"\"b\"\"\",0,{image},\"two\nlines\"").as_bytes()));
    assert!(check(&first, format!("1,{}", image.replacen('7', "007", 1)).as_bytes()));
    for (from, to) in
        [("255", "256"), ("255", "999"), ("10", "1 0"), ("7", ""), ("7", "+7"), ("99", "0099"), ("7", "7,7"), ("0", "\"0\"")]
    {
        assert!(!check(&first, format!("1,{}", image.replacen(from, to, 1)).as_bytes()), "{from} → {to}");
    }
    assert!(!check(&first, format!("3,{image}").as_bytes()), "no such label");
    assert!(!check(&first, format!("1,{image},").as_bytes()), "a cell too many");
    assert!(!check(&first, &format!("1,{image}").as_bytes()[..30]), "cells are missing");
    assert!(!check(&first, b"1"));
}

/// Every byte at every place of a cell, against the slow way.
#[test]
fn every_byte_in_every_place() {
    let layout = layout(&["label"], &[], &[]);
    for length in 0..4 {
        for place in 0..length.max(1) {
            for byte in (0..=255).filter(|byte| !matches!(byte, b'\r' | b'\n')) {
                let mut cell = vec![b'1'; length];
                if let Some(at) = cell.get_mut(place) {
                    *at = byte;
                }
                let row = [b"1,5,", cell.as_slice(), ",0".repeat(PIXELS - 2).as_bytes()].concat();
                let taken = check(&layout, &row);
                let digit = byte.is_ascii_digit();
                assert!(!digit || length == 0 || taken || cell.as_slice() > b"255".as_slice(), "{cell:?}");
            }
        }
    }
}

#[test]
fn tables_whose_pixels_are_out_of_order_have_no_quick_way() {
    let names: Vec<String> = (0..PIXELS).rev().map(|n| format!("pixel{n}")).collect();
    let of = |names: &[String], passed: &[String]| understood(names.to_vec(), &CsvOptions::default(), passed);
    assert!(of(&names, &[]).plain().is_none());
    let names: Vec<String> = names.into_iter().rev().collect();
    assert!(of(&names, &[]).plain().is_some());
    assert!(of(&names, &["pixel3".to_owned()]).plain().is_none(), "a pixel that is passed through");
}
