//! Files of every kind, read and merged.

use std::io::Write;

use super::*;
use crate::data::format::idx_bytes;
use crate::data::{RawFile, picture};
use crate::progress::Silent;

const SHAPE: ImageShape = ImageShape { channels: 1, height: 1, width: 2 };

/// A folder with files, and the options of a merge of them.
struct Case {
    dir: tempfile::TempDir,
    options: serde_json::Value,
}

impl Case {
    fn new(options: &str) -> Self {
        let mut options: serde_json::Value = serde_json::from_str(options).unwrap();
        let map = options.as_object_mut().unwrap();
        map.entry("image").or_insert(serde_json::json!({"channels": 1, "height": 1, "width": 2}));
        Self { dir: tempfile::tempdir().unwrap(), options }
    }

    fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(&self.dir.path().join(name), bytes).unwrap();
        self
    }

    fn run(&self) -> Result<Merged, DataError> {
        let options: MergeOptions = serde_json::from_value(self.options.clone()).unwrap();
        merge(&options, self.dir.path(), None, &Silent)
    }

    fn error(&self) -> String {
        self.run().unwrap_err().to_string().replace(self.dir.path().to_str().unwrap(), "DIR")
    }

    /// Checks the training images: labels and pixels, in order.
    fn check(&self, expected: &[(Label, [u8; 2])]) -> Merged {
        let merged = self.run().unwrap();
        let train = &merged.data.train;
        let found: Vec<(Label, [u8; 2])> =
            (0..train.len()).map(|index| (train.labels()[index], train.image(index).try_into().unwrap())).collect();
        assert_eq!(found, expected);
        merged
    }
}

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

const TWO_CLASSES: &str = r#"{"train": "p*", "test": "t.csv", "classes": ["Bag", "Coat"]}"#;

#[test]
fn parts_in_all_forms_of_csv_are_merged_in_natural_order() {
    let merged = Case::new(TWO_CLASSES)
        .file("p10.csv", "1,9,9\n")
        .file("p2.csv", "label,pixel1,pixel2\n0,1,2\nCoat,3,4\n")
        .file("p3.csv.gz", gzip("pixel1,pixel2,label\r\n5,6,0\r\n"))
        .file("p4.csv.zst", zstandard(b"\xef\xbb\xbflabel,pixel0,pixel1\n1,7,8\n"))
        .file("t.csv", "label,pixel1,pixel2\n0,50,60\n")
        .check(&[(0, [1, 2]), (1, [3, 4]), (0, [5, 6]), (1, [7, 8]), (1, [9, 9])]);
    assert_eq!(merged.data.test.unwrap().pixels(), [50, 60]);
    assert_eq!((merged.report.train, merged.report.test), (vec![2, 3], Some(vec![1, 0])));
    let files: Vec<_> = merged.report.files.iter().map(|file| (file.path.to_str().unwrap(), file.images)).collect();
    assert_eq!(files, [("p2.csv", 2), ("p3.csv.gz", 1), ("p4.csv.zst", 1), ("p10.csv", 1), ("t.csv", 1)]);
    insta::assert_snapshot!(merged.report.notes.join("\n"), @r#"
`p2.csv` and `p3.csv.gz` have different columns: column 1 is `label` in one and `pixel1` in the other (3 columns differ); each was read by its own
`p2.csv` and `p4.csv.zst` have different columns: column 2 is `pixel1` in one and `pixel0` in the other (2 columns differ); each was read by its own
`p2.csv` and `p10.csv` have different columns: one has a header, the other has no header; each was read by its own
there are no test images of the class `Coat`
"#);
}

#[test]
fn every_problem_of_every_file_is_named_up_to_twenty() {
    let case = Case::new(TWO_CLASSES)
        .file("p1.csv", "label,pixel1,pixel2\n0,1,2\n0,256,2\n2,1,2\n")
        .file("p2.csv", "")
        .file("p3.csv", "label,pixel1,pixel2\n")
        .file("p4.csv", "label,pixel1\n0,1\n")
        .file("p5.csv", "label,pixel1,pixel2\n0,1,2\n0,1\n")
        .file("t.csv", "label,pixel1,pixel2\n0,1.5,2\n");
    insta::assert_snapshot!(case.error(), @r#"
`DIR/p1.csv`: row 2 (line 3), column 2 (`pixel1`): `256` is not a pixel: a whole number from 0 to 255 is expected
`DIR/p1.csv`: row 3 (line 4), column 1 (`label`): `2` is not a label: a number from 0 to 1 or the name of a class is expected
`DIR/p2.csv`: the file is empty
`DIR/p3.csv`: the file has a header and no rows
`DIR/p4.csv`: `pixel2` is missing: a 1×1×2 image has 2 pixel columns
`DIR/p5.csv`: row 2 (line 3), column 3 (`pixel2`): the row has 2 cells, 3 are expected
`DIR/t.csv`: row 1 (line 2), column 2 (`pixel1`): `1.5` is not a pixel: a whole number from 0 to 255 is expected; round fractions first
"#);
    let case = case.file("p1.csv", format!("label,pixel1,pixel2\n{}", "0,x,1\n".repeat(30)));
    let error = case.error();
    assert_eq!(error.lines().count(), 21, "{error}");
    assert!(error.ends_with("row 20 (line 21), column 2 (`pixel1`): `x` is not a pixel: a whole number from 0 to 255 is expected\n(only the first 20 problems are shown)"), "{error}");
}

#[test]
fn what_was_decided_is_told_when_a_merge_fails() {
    struct Listener(std::sync::Mutex<Vec<String>>);
    impl Progress for Listener {
        fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
        fn advance(&self, _done: u64, _message: &str) {}
        fn note(&self, _line: &str) {}
        fn warn(&self, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }
        fn interrupted(&self) -> bool {
            false
        }
    }
    let case = Case::new(TWO_CLASSES)
        .file("p1.csv", "90,200,0\n80,7,1\n300,7,1\n")
        .file("p2.csv", "pixel1;pixel2;label\n1;2;0\n")
        .file("t.csv", "pixel1;pixel3;label\n1;2;0\n");
    let options: MergeOptions = serde_json::from_value(case.options.clone()).unwrap();
    let listener = Listener(std::sync::Mutex::default());
    let error = merge(&options, case.dir.path(), None, &listener).unwrap_err().to_string();
    assert!(error.contains("`300` is not a pixel") && error.contains("`pixel2` is missing"), "{error}");
    insta::assert_snapshot!(listener.0.into_inner().unwrap().join("\n"), @r#"
    `p1.csv`: the label is taken from the last column; if it is the first, set `columns: { label: "first" }`
    `p2.csv` and 1 more file: columns are separated by semicolons; if that is wrong, set `columns: { delimiter: comma }`
    "#);
}

#[test]
fn files_that_tell_different_places_of_the_label_are_refused() {
    let first = "1,90,200\n0,80,7\n1,4,99\n";
    let last = "90,200,0\n80,7,1\n77,6,1\n";
    let case = Case::new(TWO_CLASSES).file("p1.csv", first).file("t.csv", first);
    case.run().unwrap();
    let case = case.file("t.csv", last);
    insta::assert_snapshot!(case.error(), @r#"`DIR/t.csv`: the label can be in the first column or in the last: the rows of this file say otherwise than those of another; if it is in the first, set `columns: { label: "first" }`; if it is in the last, set `columns: { label: "last" }`"#);
    case.file("p1.csv", last).run().unwrap();
}

#[test]
fn files_of_one_class_each_are_refused_where_the_label_may_be_last() {
    let of_class = |class: usize| (0..5).map(|row| format!("0,{},{class}\n", 90 + row)).collect::<String>();
    let options = r#"{"train": "p*", "classes": ["Bag", "Coat"]}"#;
    let case = Case::new(options).file("p0.csv", of_class(0)).file("p1.csv", of_class(1));
    assert_eq!(case.error().matches("nearly all rows of each hold the same").count(), 2, "{}", case.error());
    let options = r#"{"train": "p*", "classes": ["Bag", "Coat"], "columns": {"label": "last"}}"#;
    let merged = Case::new(options).file("p0.csv", of_class(0)).file("p1.csv", of_class(1)).run().unwrap();
    assert_eq!(merged.report.train, [5, 5]);
}

#[test]
fn idx_pairs_are_merged() {
    let images = idx_bytes(&[2, 1, 2], &[1, 2, 3, 4]);
    let case = Case::new(r#"{"train": "a-images-idx3-ubyte.gz", "classes": ["Bag", "Coat"]}"#)
        .file("a-images-idx3-ubyte.gz", gzip(&images))
        .file("a-labels-idx1-ubyte", idx_bytes(&[2], &[1, 0]));
    case.check(&[(1, [1, 2]), (0, [3, 4])]);
    let options: MergeOptions = serde_json::from_value(case.options.clone()).unwrap();
    assert_eq!(options.files(case.dir.path(), None).unwrap().len(), 2, "the labels are read too");

    let case = case.file("a-labels-idx1-ubyte", idx_bytes(&[3], &[1, 0, 7]));
    insta::assert_snapshot!(case.error(), @"`DIR/a-labels-idx1-ubyte`: there are 3 labels for 2 images");
    let case = case.file("a-labels-idx1-ubyte", idx_bytes(&[2], &[1, 7]));
    insta::assert_snapshot!(case.error(), @"`DIR/a-labels-idx1-ubyte`: label 2 is 7, which is none of the 2 classes (`Bag`, `Coat`); the labels run from 1 to 7, so `classes` needs 7 names, or may be left out");
    let case = case.file("a-images-idx3-ubyte.gz", idx_bytes(&[1, 2, 2], &[1, 2, 3, 4]));
    insta::assert_snapshot!(case.error(), @"`DIR/a-images-idx3-ubyte.gz`: the dimensions [1, 2, 2] are not those of N images of 1×1×2");
}

#[test]
fn idx_labels_from_1_are_not_shifted_in_silence() {
    // The test file has no image of the last class: the training file tells how both count.
    let merged = |classes: &str| {
        let options = format!(r#"{{"train": "a-images-idx3", "test": "b-images-idx3", "classes": {classes}}}"#);
        Case::new(&options)
            .file("a-images-idx3", idx_bytes(&[3, 1, 2], &[1, 1, 2, 2, 3, 3]))
            .file("a-labels-idx1", idx_bytes(&[3], &[1, 2, 3]))
            .file("b-images-idx3", idx_bytes(&[2, 1, 2], &[4, 4, 5, 5]))
            .file("b-labels-idx1", idx_bytes(&[2], &[1, 2]))
            .run()
    };
    let check = |classes: &str, train: [Label; 3], notes: &str| {
        let found = merged(classes).unwrap();
        assert_eq!(found.data.train.labels(), train, "{classes}");
        assert_eq!(found.data.test.unwrap().labels(), &train[..2], "{classes}");
        let told = found.report.notes.join("; ");
        assert!(told.contains(notes), "{classes}: {told}");
    };
    check(r#"["1", "2", "3"]"#, [0, 1, 2], "there are no test images of the class `3`");
    check(r#"["a", "b", "c"]"#, [0, 1, 2], "the labels count from 1: 1 is `a`, 3 is `c`");
    check(r#"["a", "b", "c", "d"]"#, [1, 2, 3], "no image is of the first class, `a`; if they count from 1, list 3 classes");
    check("null", [1, 2, 3], "there are no training images of the class `0`");
    let error = merged(r#"["a", "b"]"#).unwrap_err().to_string();
    assert!(error.contains("the labels run from 1 to 3, so `classes` needs 3 names, or may be left out"), "{error}");
}

#[test]
fn folders_of_images_are_merged_and_what_is_passed_over_is_told() {
    let png = |pixels: [u8; 2]| picture::encode(SHAPE, &pixels, 1).unwrap();
    let case = Case::new(r#"{"train": "shop"}"#)
        .file("shop/Coat/10.png", png([5, 6]))
        .file("shop/Coat/9.PNG", png([3, 4]))
        .file("shop/Bag/a.png", png([1, 2]))
        .file("shop/Bag/notes.txt", "");
    let merged = case.check(&[(0, [1, 2]), (1, [3, 4]), (1, [5, 6])]);
    assert_eq!(merged.data.info.classes, ["Bag", "Coat"]);
    let notes = merged.report.notes.join("\n").replace(case.dir.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!(notes, @"`shop`: files that are no images, passed over: 1 (1 `.txt`), such as `Bag/notes.txt`");

    let wrong = picture::encode(ImageShape { channels: 1, height: 3, width: 2 }, &[0; 6], 1).unwrap();
    let case = case.file("shop/Bag/b.png", wrong).file("shop/Coat/1.png", "no picture");
    insta::assert_snapshot!(case.error(), @r#"
`DIR/shop/Bag/b.png`: the image is 2 wide and 3 high, 2 by 1 are expected
`DIR/shop/Coat/1.png`: neither a PNG nor a JPEG image: it begins with `no picture`
"#);
    let mut case = case;
    case.options["classes"] = serde_json::json!(["Coat", "T-shirt/top"]);
    let case = case.file("shop/T-shirt_top/1.png", png([1, 1]));
    insta::assert_snapshot!(case.error().lines().next().unwrap(), @"`DIR/shop/Bag`: the folder is not named like a class: `Coat`, `T-shirt/top`");
}

#[test]
fn jpeg_beside_png_gives_all_images_and_a_bad_one_is_named() {
    let shape = r#""image": {"channels": 1, "height": 2, "width": 3}"#;
    let png = picture::encode(ImageShape { channels: 1, height: 2, width: 3 }, &[81, 152, 37, 240, 120, 5], 1).unwrap();
    let jpeg = include_bytes!("../picture/samples/gray.jpg");
    let case = Case::new(&format!(r#"{{"train": "shop", {shape}}}"#))
        .file("shop/cat/1.png", &png)
        .file("shop/cat/2.jpg", jpeg)
        .file("shop/dog/1.png", jpeg)
        .file("shop/dog/2.JPEG", &png);
    let merged = case.run().unwrap();
    assert_eq!(merged.data.train.labels(), [0, 0, 1, 1]);
    assert_eq!(merged.report.notes.len(), 1, "all four are the same image: {:?}", merged.report.notes);
    let case = case
        .file("shop/dog/3.jpg", include_bytes!("../picture/samples/cmyk.jpg"))
        .file("shop/dog/4.jpg", &jpeg[..300])
        .file("shop/dog/5.webp", "RIFF....WEBP")
        .file("shop/dog/a\nb.png", "");
    // What the listing finds is told before images are read.
    insta::assert_snapshot!(case.error(), @"`DIR/shop/dog/5.webp`: a WebP image, which is not read; convert it to PNG or JPEG, or move it away");
    crate::fs::remove(&case.dir.path().join("shop/dog/5.webp")).unwrap();
    insta::assert_snapshot!(case.error(), @r"
    `DIR/shop/dog/3.jpg`: a JPEG image in CMYK, the colours of print; convert it to RGB
    `DIR/shop/dog/4.jpg`: the JPEG file is damaged: it ends within its head
    `DIR/shop/dog/a\nb.png`: the file is empty
    ");
}

#[cfg(unix)]
#[test]
fn what_has_no_end_is_refused_before_it_is_read() {
    use std::os::unix::fs::symlink;
    let error = |format: &str| {
        let case = Case::new(&format!(r#"{{"train": "zero-images-idx3", "classes": ["a", "b"], "format": "{format}"}}"#));
        symlink("/dev/zero", case.dir.path().join("zero-images-idx3")).unwrap();
        case.error()
    };
    for format in ["auto", "csv", "idx"] {
        assert_eq!(error(format), "`DIR/zero-images-idx3` is a device, not a file with an end; copy what it yields into a file");
    }
    let case =
        Case::new(r#"{"train": "a-images-idx3", "classes": ["a", "b"]}"#).file("a-images-idx3", idx_bytes(&[1, 1, 2], &[1, 2]));
    symlink("/dev/zero", case.dir.path().join("a-labels-idx1")).unwrap();
    assert!(case.error().starts_with("the labels of `DIR/a-images-idx3` should be in `DIR/a-labels-idx1`"), "{}", case.error());
}

#[test]
fn repeated_images_are_counted() {
    let merged = Case::new(TWO_CLASSES)
        .file("p1.csv", "0,1,3\n1,3,4\n0,1,3\n1,1,3\n")
        .file("t.csv", "0,3,4\n0,5,6\n1,3,4\n")
        .run()
        .unwrap();
    let report = merged.report;
    assert_eq!((report.duplicates.images, report.duplicates.conflicting), (2, 1));
    assert_eq!(report.duplicates.examples[1], Repeat { image: 3, label: 1, earlier: 0, earlier_label: 0 });
    let overlap = report.overlap.clone().unwrap();
    assert_eq!((overlap.images, overlap.conflicting), (2, 1));
    insta::assert_snapshot!(report.notes.join("\n"), @r#"
training images that equal an earlier one: 2, of these with another label: 1
test images that are also training images: 2, of these with another label: 1
"#);
    let dir = tempfile::tempdir().unwrap();
    report.save(dir.path()).unwrap();
    assert_eq!(MergeReport::load(dir.path()).unwrap(), report);
}

#[test]
fn classes_that_nobody_names_are_numbers() {
    let case = Case::new(r#"{"train": "p.csv"}"#).file("p.csv", "2,90,200\n0,30,140\n");
    let merged = case.check(&[(2, [90, 200]), (0, [30, 140])]);
    assert_eq!(merged.data.info.classes, ["0", "1", "2"]);
    insta::assert_snapshot!(merged.report.notes.join("\n"), @"there are no training images of the class `1`");
    insta::assert_snapshot!(Case::new(r#"{"train": "p.csv"}"#).file("p.csv", "0,1,200\n").error(), @"the labels name the classes, as nothing else does: there must be at least 2 classes, not 1; name every class, in the order of the labels");
    insta::assert_snapshot!(Case::new(r#"{"train": "p.csv", "classes": ["a", "a"]}"#).file("p.csv", "0,1,2\n").error(), @"two classes are called `a`, 0 and 1; give each class a name of its own");
    insta::assert_snapshot!(Case::new(r#"{"train": "p.csv", "image": null}"#).file("p.csv", "0,1,2\n").error(), @"nothing says what shape the images have; add `image: { channels: 1, height: 28, width: 28 }`, or as it is");
}

#[test]
fn files_of_a_list_are_those_that_were_listed() {
    let case = Case::new(r#"{"data": "raw", "train": "p*.csv", "image": null}"#).file("p1.csv", "0,1,2\n1,3,4\n");
    let dir = case.dir.path();
    let list = FileList {
        name: "shop".into(),
        synthetic: true,
        shape: SHAPE,
        classes: vec!["Bag".into(), "Coat".into()],
        dir: dir.to_owned(),
        files: vec![RawFile::of(dir, Path::new("p1.csv")).unwrap()],
    };
    let options: MergeOptions = serde_json::from_value(case.options.clone()).unwrap();
    let run = || merge(&options, Path::new("elsewhere"), Some(&list), &Silent);
    let merged = run().unwrap();
    assert_eq!((merged.data.info.name.as_str(), merged.data.info.synthetic), ("shop", true));
    assert_eq!(merged.data.info.classes, list.classes);
    let error = || run().unwrap_err().to_string().replace(dir.to_str().unwrap(), "DIR");
    fs::write(&dir.join("p1.csv"), "0,1,2\n1,3,5\n").unwrap();
    insta::assert_snapshot!(error(), @"`DIR/p1.csv` has changed since it was fetched");
    fs::write(&dir.join("p1.csv"), "0,1,2\n1,3,4\n").unwrap();
    fs::write(&dir.join("p2.csv"), "0,1,2\n").unwrap();
    insta::assert_snapshot!(error(), @"`DIR/p2.csv` is not one of the files of `shop`; leave out `data` to merge files of your own");
}
