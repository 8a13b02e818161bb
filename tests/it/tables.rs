//! Tables as other programs write them, through `merge` and through `score`: they give the images of the plain table and are told, or they are
//! refused in one line with advice that works.

use std::io::Write;
use std::sync::OnceLock;

use crate::workshop::{Run, Workshop};

const SIZE: usize = 16;

/// Images of 1×4×4 with labels 0 to 2; no column looks like another kind of column by chance.
fn images(count: usize) -> Vec<(u8, [u8; SIZE])> {
    let mut random = 7_u32;
    let mut next = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    (0..count).map(|row| ([2, 0, 1, 1, 0, 2, 0][row % 7], std::array::from_fn(|_| next()))).collect()
}

/// The rows of a table, made by what each image's cells are to be.
fn rows(count: usize, cells: impl Fn(usize, u8, Vec<String>) -> Vec<String>) -> Vec<Vec<String>> {
    let pixels = |image: [u8; SIZE]| image.iter().map(u8::to_string).collect();
    images(count).into_iter().enumerate().map(|(row, (label, image))| cells(row, label, pixels(image))).collect()
}

fn text(header: Option<String>, rows: &[Vec<String>], delimiter: &str) -> String {
    let lines = rows.iter().map(|cells| cells.join(delimiter));
    header.into_iter().chain(lines).map(|line| line + "\n").collect()
}

const ROWS: usize = 42;

fn with_label(_: usize, label: u8, pixels: Vec<String>) -> Vec<String> {
    [vec![label.to_string()], pixels].concat()
}

fn names(name: impl Fn(usize) -> String) -> String {
    (0..SIZE).map(name).collect::<Vec<_>>().join(",")
}

fn usual() -> String {
    format!("label,{}", names(|n| format!("pixel{}", n + 1)))
}

/// The table that all others are to be read as.
fn plain() -> String {
    text(Some(usual()), &rows(ROWS, with_label), ",")
}

/// A model of such images.
fn model() -> &'static [u8] {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let stages = "
  s: { split: { data: m, validation: 0.25 } }
  n: { train: { data: s, model: { mlp: { units: [8] } }, epochs: 1 } }
  e: { export: { models: [n] } }
";
        let workshop = Workshop::with(&(pipeline("plain.csv", "{}") + stages));
        workshop.write("plain.csv", plain());
        workshop.pipeline(&["run"]).expect(0);
        std::fs::read(workshop.path("artifacts/n/model.onnx")).unwrap()
    })
}

fn pipeline(table: &str, columns: &str) -> String {
    format!(
        "version: 1\nseed: 3\nstages:\n  m: {{ merge: {{ train: \"{table}\", image: {{ channels: 1, height: 4, width: 4 }}, \
         classes: [a, b, c], columns: {columns} }} }}\n"
    )
}

/// Merges a table; what was said, and the images if it went well.
fn merge(name: &str, table: &[u8], columns: &str) -> (Run, Option<Vec<u8>>) {
    let workshop = Workshop::with(&pipeline(name, columns));
    workshop.write(name, table);
    let run = workshop.pipeline(&["run"]);
    let objects = workshop.path("artifacts/.cache/objects");
    let found = std::fs::read_dir(objects).into_iter().flatten().map(|entry| entry.unwrap().path());
    let images = found.map(|folder| folder.join("files/train.safetensors")).find(|path| path.is_file());
    (run, images.map(|path| std::fs::read(path).unwrap()))
}

/// Scores a table; what was said, and the predictions if it went well.
fn score(name: &str, table: &[u8], options: &[&str]) -> (Run, Option<String>) {
    let workshop = Workshop::new();
    workshop.write("net.onnx", model());
    workshop.write(name, table);
    let columns = ["--columns", "label,probabilities"];
    let run = workshop.pipeline(&[&["score", "-m", "net.onnx", "-i", name, "-o", "out.csv"], &columns[..], options].concat());
    let output = workshop.path("out.csv").is_file().then(|| workshop.read("out.csv"));
    (run, output)
}

/// What was said, without the line breaks of a narrow terminal.
fn said(run: &Run) -> String {
    let text = run.text();
    let odd = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(odd), "control characters: {text:?}");
    assert!(text.lines().all(|line| line.chars().count() < 400), "a long line: {text}");
    text
}

/// A table with labels is merged to the images of the plain one, scored to its predictions, and what was found is told by both.
fn check(name: &str, table: impl AsRef<[u8]>, told: &str) {
    let table = table.as_ref();
    let (run, images) = merge(name, table, "{}");
    let run = run.expect(0);
    assert!(said(&run).contains(told), "`{told}` is not in {}", run.text());
    assert!(images == merge("plain.csv", plain().as_bytes(), "{}").1, "{name}: other images");
    check_score(name, table, told);
}

fn check_score(name: &str, table: &[u8], told: &str) {
    let (run, predictions) = score(name, table, &[]);
    let run = run.expect(0);
    assert!(said(&run).contains(told), "`{told}` is not in {}", run.text());
    assert!(predictions == score("plain.csv", plain().as_bytes(), &[]).1, "{name}: other predictions");
}

/// A table is refused by both in one clean line.
fn check_refused(name: &str, table: impl AsRef<[u8]>, why: &str) {
    let (run, _) = merge(name, table.as_ref(), "{}");
    let run = run.expect(1);
    assert!(said(&run).contains(why), "`{why}` is not in {}", run.text());
    assert!(run.text().lines().all(|line| line.matches(why).count() <= 1), "told twice: {}", run.text());
    let (run, _) = score(name, table.as_ref(), &[]);
    let run = run.expect(1);
    assert!(said(&run).contains(why), "`{why}` is not in {}", run.text());
}

#[test]
fn header_by_grid() {
    let grid = |separator: &str| names(|n| format!("{}{separator}{}", n / 4 + 1, n % 4 + 1));
    for (header, pattern) in [
        (grid("x"), "{row}x{column}"),
        (names(|n| format!("pixel_{}_{}", n / 4, n % 4)), "pixel_{row}_{column}"),
        (names(|n| format!("p{}", n + 1)), "p{n}"),
        (names(|n| format!("{n}.0")), "{n}.0"),
        (names(|n| format!("{}.{}", n / 4, n % 4)), "{row}.{column}"),
    ] {
        let table = text(Some(format!("label,{header}")), &rows(ROWS, with_label), ",");
        check("grid.csv", table, &format!("the columns of the pixels are `{pattern}`"));
    }
    // The columns may stand in any order that the names make clear.
    let table = text(
        Some(format!("label,{}", names(|n| format!("r{}c{}", n % 4, n / 4)))),
        &rows(ROWS, |_, label, pixels| {
            [vec![label.to_string()], (0..SIZE).map(|n| pixels[n % 4 * 4 + n / 4].clone()).collect()].concat()
        }),
        ",",
    );
    check("turned.csv", table, "`r{row}c{column}`");
    let wrong = text(Some(format!("label,{}", names(|n| format!("{}x{}", n / 8, n % 8)))), &rows(ROWS, with_label), ",");
    check_refused("wrong.csv", wrong, "the names of the columns tell images of 2 rows and 8 columns, not 1×4×4");
}

#[test]
fn the_grid_of_a_header_tells_the_shape_of_the_images() {
    let workshop = Workshop::with("version: 1\nstages:\n  m: { merge: { train: g.csv, classes: [a, b, c] } }\n");
    let header = names(|n| format!("{}x{}", n / 4 + 1, n % 4 + 1));
    workshop.write("g.csv", text(Some(format!("label,{header}")), &rows(ROWS, with_label), ","));
    workshop.pipeline(&["plan"]).expect(0);
    workshop.pipeline(&["run"]).expect(0).says("42 training and 0 test images of 1×4×4");
    workshop.write("g.csv", plain());
    workshop.pipeline(&["plan"]).expect(3).says("the shape of the images is not known");
}

#[test]
fn header_of_numbers() {
    let told = "counts the columns and is taken for their names";
    let from = |base: usize| names(|n| (n + base).to_string());
    check(
        "lab.csv",
        text(Some(format!("label,{}", from(0))), &rows(ROWS, with_label), ","),
        "the columns of the pixels are `{n}`",
    );
    let counted = |first: usize| (first..first + SIZE + 1).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    check("lab0.csv", text(Some(counted(0)), &rows(ROWS, with_label), ","), told);
    check("lab1.csv", text(Some(counted(1)), &rows(ROWS, with_label), ","), told);
    let label_last = |_: usize, label: u8, pixels: Vec<String>| [pixels, vec![label.to_string()]].concat();
    check("last.csv", text(Some(counted(0)), &rows(ROWS, label_last), ","), "the label is taken from the last column");
    let with_index = |row: usize, label: u8, pixels: Vec<String>| [vec![row.to_string(), label.to_string()], pixels].concat();
    check(
        "idx-lab.csv",
        text(Some(format!(",label,{}", from(0))), &rows(ROWS, with_index), ","),
        "without a name is passed over",
    );
    check("idx-lab0.csv", text(Some(format!(",{}", counted(0))), &rows(ROWS, with_index), ","), told);
    // Without labels there is nothing to merge.
    for (name, table) in [
        ("noidx.csv", text(Some(from(0)), &rows(ROWS, |_, _, pixels| pixels), ",")),
        (
            "idx.csv",
            text(Some(format!(",{}", from(0))), &rows(ROWS, |row, _, pixels| [vec![row.to_string()], pixels].concat()), ","),
        ),
    ] {
        check_score(name, table.as_bytes(), told);
        let (run, _) = merge(name, table.as_bytes(), "{}");
        run.expect(1).says("no column is called `label`");
    }
    // A row that counts by chance can be said to be an image.
    let image: Vec<String> = images(1)[0].1.iter().map(u8::to_string).collect();
    let table = format!("{}\n{}\n", from(0), image.join(","));
    let (run, predictions) = score("one.csv", table.as_bytes(), &[]);
    run.expect(0).says("`--header no`");
    assert_eq!(predictions.unwrap().lines().count(), 2);
    assert_eq!(score("one.csv", table.as_bytes(), &["--header", "no"]).1.unwrap().lines().count(), 3);
}

#[test]
fn index_column() {
    let indexed = rows(ROWS, |row, label, pixels| [vec![row.to_string(), label.to_string()], pixels].concat());
    for (name, told) in [
        ("", "a column without a name is passed over"),
        ("Unnamed: 0", "the column `Unnamed: 0` is passed over"),
        ("index", "the column `index` is passed over"),
    ] {
        check("indexed.csv", text(Some(format!("{name},{}", usual())), &indexed, ","), told);
    }
    check("bare.csv", text(None, &indexed, ","), "the first column counts the rows and is passed over");
    let unlabelled = rows(ROWS, |row, _, pixels| [vec![row.to_string()], pixels].concat());
    let table = text(None, &unlabelled, ",");
    check_score("bare.csv", table.as_bytes(), "the first column counts the rows and is passed over");
    merge("bare.csv", table.as_bytes(), "{}").0.expect(1).says("its first column counts the rows").says(r#"{ label: "first" }"#);
}

#[test]
fn no_header_label_last() {
    let label_last = |_: usize, label: u8, pixels: Vec<String>| [pixels, vec![label.to_string()]].concat();
    check("last.csv", text(None, &rows(ROWS, label_last), ","), "the label is taken from the last column");
    // With a black corner, the first column may as well hold labels.
    let black =
        |_: usize, label: u8, pixels: Vec<String>| [vec!["0".to_owned()], pixels[1..].to_vec(), vec![label.to_string()]].concat();
    let table = text(None, &rows(ROWS, black), ",");
    check_refused("black.csv", &table, "the label can be in the first column or in the last");
    let (run, images) = merge("black.csv", table.as_bytes(), r#"{ label: "last" }"#);
    run.expect(0);
    let named = text(Some(format!("{},label", names(|n| format!("pixel{}", n + 1)))), &rows(ROWS, black), ",");
    assert!(images == merge("named.csv", named.as_bytes(), "{}").1);
    let (run, predictions) = score("black.csv", table.as_bytes(), &["--label", "last"]);
    run.expect(0);
    assert_eq!(predictions, score("named.csv", named.as_bytes(), &[]).1);
}

#[test]
fn a_pixel_is_not_taken_for_the_label() {
    let as_text = |pixels: &[u8]| pixels.iter().map(u8::to_string).collect::<Vec<_>>();
    let table = |cells: &dyn Fn(usize, u8, [u8; SIZE]) -> Vec<String>| {
        let images = images(ROWS).into_iter().enumerate();
        text(None, &images.map(|(row, (label, pixels))| cells(row, label, pixels)).collect::<Vec<_>>(), ",")
    };
    let corner = |mut pixels: [u8; SIZE]| {
        pixels[0] = 0;
        as_text(&pixels)
    };
    let last = |pixels: Vec<String>, label: usize| [pixels, vec![label.to_string()]].concat();
    // Sorted by class, the first rows hold one class.
    let sorted = (0..5).map(|part| table(&|_, _, pixels| last(corner(pixels), part / 2))).collect::<String>();
    let two_colours = |pixels: [u8; SIZE]| pixels.map(|pixel| pixel / 128);
    for (name, table) in [
        ("sorted.csv", sorted),
        ("one.csv", table(&|_, _, pixels| last(corner(pixels), 1))),
        ("binary.csv", table(&|_, _, pixels| last(as_text(&two_colours(pixels)), 0))),
        ("from1.csv", table(&|_, label, pixels| [vec![(label + 1).to_string()], as_text(&two_colours(pixels))].concat())),
    ] {
        check_refused(name, table, "the label can be in the first column or in the last");
    }
    // Words are labels, whatever the pixels are.
    let words =
        table(&|_, label, pixels| [as_text(&two_colours(pixels)), vec!["abc"[usize::from(label)..][..1].to_owned()]].concat());
    let (run, images) = merge("words.csv", words.as_bytes(), "{}");
    run.expect(0).says("the label is taken from the last column");
    assert!(images == merge("words.csv", words.as_bytes(), "{ label: last }").1);
}

#[test]
fn decimal_commas_are_told() {
    for delimiter in [";", "\t"] {
        let table = text(
            None,
            &rows(ROWS, |_, label, pixels| with_label(0, label, pixels.iter().map(|cell| format!("{cell},0")).collect())),
            delimiter,
        );
        check_refused("commas.csv", table, "write numbers without a decimal comma");
    }
}

#[test]
fn id_column() {
    let header = |id: &str| Some(format!("{id},{}", names(|n| format!("pixel{}", n + 1))));
    let cells = rows(ROWS, |row, _, pixels| [vec![format!("id_{row}")], pixels].concat());
    let table = text(header("id"), &cells, ",");
    check_score("test.csv", table.as_bytes(), "the column `id` is passed over; to copy it to the output, set `--passthrough id`");
    let (run, predictions) = score("test.csv", table.as_bytes(), &["--passthrough", "id"]);
    assert!(!said(&run.expect(0)).contains("passed over"));
    assert!(predictions.unwrap().lines().nth(3).unwrap().ends_with(",id_2"));
    // Another name needs a word, and the word that is advised works.
    let table = text(header("shop floor"), &cells, ",");
    let (run, _) = score("test.csv", table.as_bytes(), &[]);
    run.expect(1)
        .says("`shop floor` is neither the label nor a pixel; to pass over what is neither, set `--ignore 'shop floor'`");
    score("test.csv", table.as_bytes(), &["--ignore", "shop floor"]).0.expect(0);
    let labelled = text(
        Some(format!("shop floor,{}", usual())),
        &rows(ROWS, |row, label, pixels| [vec![format!("id_{row}"), label.to_string()], pixels].concat()),
        ",",
    );
    let (run, _) = merge("t.csv", labelled.as_bytes(), "{}");
    run.expect(1).says(r#"set `columns: { ignore: ["shop floor"] }`"#);
    merge("t.csv", labelled.as_bytes(), r#"{ ignore: ["shop floor"] }"#).0.expect(0);
}

#[test]
fn floats() {
    let all = |write: fn(&str) -> String| {
        rows(ROWS, move |_, label, pixels| with_label(0, label, pixels).iter().map(|cell| write(cell)).collect())
    };
    let scientific = |cell: &str| {
        let text = format!("{:.18e}", cell.parse::<f64>().unwrap());
        let (mantissa, exponent) = text.split_once('e').unwrap();
        format!("{mantissa}e+{:0>2}", exponent)
    };
    check("pandas.csv", text(Some(usual()), &all(|cell| format!("{cell}.0")), ","), "42");
    check("savetxt.csv", text(None, &all(scientific), ","), "42");
    check("savetxt.txt", text(None, &all(scientific), " "), "columns are separated by spaces");
    let fractions = text(
        Some(usual()),
        &rows(ROWS, |_, label, pixels| {
            with_label(0, label, pixels.iter().map(|cell| format!("{:.3}", cell.parse::<f64>().unwrap() / 256.0)).collect())
        }),
        ",",
    );
    check_refused("fractions.csv", &fractions, "multiply them by 255 and round them first");
}

#[test]
fn delimiters_and_encodings() {
    let utf16 = |text: &str, little: bool| -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    };
    for (delimiter, told) in [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")] {
        let table = text(Some(usual().replace(',', delimiter)), &rows(ROWS, with_label), delimiter);
        check("x.csv", &table, &format!("columns are separated by {told}"));
        check("bare.csv", table.split_once('\n').unwrap().1, &format!("columns are separated by {told}"));
        check("mark.csv", format!("\u{feff}{}", table.replace('\n', "\r\n")), &format!("columns are separated by {told}"));
        check("utf16.csv", utf16(&format!("\u{feff}{table}"), true), "the text is UTF-16");
    }
    let semicolons = text(Some(usual().replace(',', ";")), &rows(ROWS, with_label), ";").replace('\n', "\r\n");
    check(
        "sep.csv",
        format!("sep=;\r\n{semicolons}"),
        "columns are separated by semicolons, the first line says so and is no row",
    );
    for little in [true, false] {
        check("utf16.csv", utf16(&format!("\u{feff}{}", plain()), little), "the text is UTF-16");
        check("bare16.csv", utf16(&plain(), little), "the text is UTF-16");
    }
    check("mark.csv", format!("\u{feff}{}", plain()), "42");
    let (run, images) = merge("x.csv", semicolons.as_bytes(), "{ delimiter: semicolon }");
    assert!(!said(&run.expect(0)).contains("separated"));
    assert!(images == merge("plain.csv", plain().as_bytes(), "{}").1);
    let (run, _) = score("x.csv", semicolons.as_bytes(), &["--delimiter", "semicolon"]);
    assert!(!said(&run.expect(0)).contains("separated"));
    let cut = utf16(&plain(), true);
    check_refused("cut.csv", &cut[..cut.len() - 3], "begins no character of UTF-16");
}

#[test]
fn not_a_table() {
    for (name, bytes, what) in [
        ("train.csv.zip", b"PK\x03\x04\x14\0\0\0\x08\0\x9ahy]v\n".as_slice(), "it is a ZIP archive"),
        (
            "lfs.csv",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:abab\nsize 1330\n",
            "it is a Git LFS pointer, not a CSV table",
        ),
        ("page.csv", b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "it is a web page (HTML)"),
        ("x.parquet", b"PAR1\x15\x04\x15\x10\0\0", "it is a Parquet file"),
        ("x.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it is a PNG picture"),
        ("esc.csv", b"label,\x1b[31mpix\x1b[0m1,\x1b]0;owned\x07x\n0,1,2\n", r"control characters: `\u{1b}[31mpix\u{1b}[0m1`"),
        ("zeros.csv", &[0; 5000], "it is binary data"),
    ] {
        check_refused(name, bytes, what);
    }
}

#[test]
fn gzip_padding() {
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let whole = plain();
    let (first, second) = whole.split_at(whole.len() / 2);
    check("zeros.csv.gz", [gzip(&whole), vec![0; 512]].concat(), "42");
    check("members.csv.gz", [gzip(first), gzip(second)].concat(), "42");
    let packed = gzip(&whole);
    let place = packed.len();
    check_refused(
        "garbage.csv.gz",
        [packed.clone(), b"garbage".to_vec()].concat(),
        &format!("from byte {place} on, the file holds something else behind the gzip data"),
    );
    check_refused(
        "cut.csv.gz",
        &packed[..place - 9],
        &format!("the gzip data ends too early, at byte {}: the file is cut off", place - 9),
    );
}

#[test]
fn an_unclosed_quote_is_told_with_its_extent_and_so_are_blank_lines() {
    let noted = rows(ROWS, |row, label, pixels| [with_label(0, label, pixels), vec![format!("note {row}")]].concat());
    let header = Some(format!("{},id", usual()));
    let table = text(header, &noted, ",");
    let swallowing = table.replace(",note 3\n", ",\"note 3\n").replace(",note 9\n", ",note 9\"\n");
    let (run, _) = merge("x.csv", swallowing.as_bytes(), "{}");
    run.expect(0).says("1 row spans several lines, as quotes allow: the first is row 4, lines 5 to 11");
    let open = table.replace(",note 3\n", ",\"note 3\n");
    let (run, _) = merge("x.csv", open.as_bytes(), "{}");
    run.expect(1)
        .says("a quote in the row that begins on line 5 is never closed; the row would go on to the end of the file (line 43)");
    let blank = plain().replacen('\n', "\n\n\n", 3);
    check_merge_only(&blank, "6 blank lines are passed over");
}

fn check_merge_only(table: &str, told: &str) {
    let (run, images) = merge("x.csv", table.as_bytes(), "{}");
    run.expect(0).says(told);
    assert!(images == merge("plain.csv", plain().as_bytes(), "{}").1);
}

#[test]
fn files_from_different_folders_work_in_one_merge() {
    let workshop = Workshop::new();
    let absolute = workshop.path("far/a.csv");
    let stage = |train: &str, test: &str| {
        format!(
            "version: 1\nstages:\n  m: {{ merge: {{ train: \"{train}\", test: \"{test}\", image: {{ channels: 1, height: 4, width: 4 }}, \
             classes: [a, b, c] }} }}\n"
        )
    };
    workshop.write("far/a.csv", plain());
    let other = text(Some(usual()), &rows(ROWS / 2, with_label), ",");
    workshop.write("far/b.csv", &other);
    workshop.write("work/data/t.csv", &other);
    for (train, test) in [
        (absolute.to_str().unwrap(), "data/t.csv"),
        ("../far/a.csv", "data/t.csv"),
        ("../far/a.csv", "./data/t.csv"),
        (absolute.to_str().unwrap(), "../far/b.csv"),
    ] {
        workshop.write("work/pipeline.yaml", stage(train, test));
        let run = |verb: &str| {
            let output = workshop.command(&[verb]).current_dir(workshop.path("work")).output().unwrap();
            assert!(output.status.success(), "{train} {test}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        run("plan");
        run("run");
        assert!(run("run").contains("nothing"), "{train} {test}");
    }
}

#[cfg(unix)]
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn reading_a_slow_pipe_ends_with_one_signal() {
    use std::time::{Duration, Instant};
    let workshop = Workshop::new();
    workshop.write("net.onnx", model());
    let made = std::process::Command::new("mkfifo").arg(workshop.path("pipe.csv")).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: `mkfifo` makes no pipe here");
        return;
    }
    for writes in [false, true] {
        let mut child = workshop.command(&["score", "-m", "net.onnx", "-i", "pipe.csv", "-o", "out.csv"]).spawn().unwrap();
        let writer = writes.then(|| {
            let mut pipe = std::fs::OpenOptions::new().write(true).open(workshop.path("pipe.csv")).unwrap();
            pipe.write_all(&plain().as_bytes()[..200]).unwrap();
            pipe
        });
        std::thread::sleep(Duration::from_millis(700));
        let start = Instant::now();
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > Duration::from_secs(10) => {
                    child.kill().unwrap();
                    panic!("the program waits for the pipe");
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert_eq!(status.code(), Some(130), "writes: {writes}");
        drop(writer);
    }
}
