//! What lies in a folder of class folders: the images of each class, what cannot be read, and what is passed over.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Problems;
use crate::data::pattern::natural_order;
use crate::data::picture::Content;
use crate::fs::{self, Kind};
use crate::quote;

/// Ends of names that promise an image which is read.
const READ: [&str; 5] = ["png", "jpg", "jpeg", "jpe", "jfif"];

/// Ends of names that promise an image in another format. What the file holds decides.
const FOREIGN: [&str; 20] = [
    "gif", "bmp", "dib", "webp", "tif", "tiff", "heic", "heif", "avif", "jp2", "j2k", "jxl", "ico", "psd", "pgm", "ppm", "pbm",
    "pnm", "svg", "exr",
];

/// Files and folders that systems leave everywhere, in lower case.
const SYSTEM: [&str; 8] =
    ["thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "system volume information"];

/// What lies in a folder of class folders.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Each folder with its images, folders and images in natural order.
    pub classes: Vec<(String, Vec<PathBuf>)>,
    /// Images and folders that cannot be read or belong to no class.
    pub problems: Problems,
    /// Files that are no images, by the end of their names.
    passed: BTreeMap<String, usize>,
    /// Other things that a person should know of, with how often they occur and the first of them.
    odd: BTreeMap<&'static str, (usize, PathBuf)>,
    first_passed: Option<PathBuf>,
}

impl Listing {
    /// Looks through the folder `path`.
    ///
    /// # Errors
    /// When a folder cannot be listed or a file not opened.
    pub fn of(path: &Path) -> Result<Self> {
        let mut listing = Self::default();
        let (mut folders, mut stray) = (Vec::new(), Vec::new());
        for (name, kind) in fs::list(path)? {
            let whole = path.join(&name);
            match kind {
                _ if is_hidden(&name) => listing.note_hidden(&name, &whole),
                Kind::Folder => folders.push(name),
                _ => {
                    if listing.judge(&whole, kind)? {
                        stray.push(whole);
                    }
                }
            }
        }
        if let Some(first) = stray.first() {
            let name = quote::excerpt(&first.file_name().unwrap_or_default().to_string_lossy());
            let count = stray.len();
            listing.problems.push(
                path,
                format!("images that lie in no class folder: {count}, such as `{name}`; move each into the folder of its class"),
            );
        }
        folders.sort_by(|a, b| natural_order(a, b));
        for name in folders {
            let images = listing.below(&path.join(&name))?;
            listing.classes.push((name, images));
        }
        Ok(listing)
    }

    /// The images below a class folder, those in its own folders included; each real folder once, so that links in a circle
    /// end.
    fn below(&mut self, class: &Path) -> Result<Vec<PathBuf>> {
        let mut images: Vec<String> = Vec::new();
        let mut folders = vec![String::new()];
        let mut seen = HashSet::new();
        while let Some(folder) = folders.pop() {
            let place = class.join(&folder);
            if !seen.insert(fs::canonical(&place)?) {
                self.note("links to folders that are read already", &place);
                continue;
            }
            for (name, kind) in fs::list(&place)? {
                let whole = place.join(&name);
                let relative = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                match kind {
                    _ if is_hidden(&name) => self.note_hidden(&name, &whole),
                    Kind::Folder => folders.push(relative),
                    _ if self.judge(&whole, kind)? => {
                        if !folder.is_empty() {
                            self.note("images in folders within class folders, read as of that class", &whole);
                        }
                        images.push(relative);
                    }
                    _ => {}
                }
            }
        }
        images.sort_by(|a, b| natural_order(a, b));
        Ok(images.into_iter().map(|image| class.join(image)).collect())
    }

    /// Whether a file is an image to be read. What is not is put down.
    fn judge(&mut self, path: &Path, kind: Kind) -> Result<bool> {
        let end = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match kind {
            Kind::Nothing => self.problems.push(path, "a link to nothing"),
            Kind::Special(what) => self.problems.push(path, format!("{what}, not a file")),
            // Its content is looked at when it is read.
            _ if READ.contains(&end.as_str()) => return Ok(true),
            _ => {
                let first = fs::read_beginning(path, Content::BYTES)?;
                match Content::of(&first) {
                    content if content.is_read() => return Ok(true),
                    content @ Content::Foreign(_) => self.problems.push(path, content.refusal(&first)),
                    content if FOREIGN.contains(&end.as_str()) => self.problems.push(path, content.refusal(&first)),
                    _ => {
                        *self.passed.entry(end).or_default() += 1;
                        self.first_passed.get_or_insert_with(|| path.to_owned());
                    }
                }
            }
        }
        Ok(false)
    }

    /// Hidden files are none of the data, unless somebody hid an image.
    fn note_hidden(&mut self, name: &str, path: &Path) {
        let end = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_image = READ.contains(&end.as_str()) || FOREIGN.contains(&end.as_str());
        if is_image && !name.starts_with("._") {
            self.note("hidden images, passed over", path);
        }
    }

    fn note(&mut self, what: &'static str, path: &Path) {
        self.odd.entry(what).or_insert_with(|| (0, path.to_owned())).0 += 1;
    }

    /// What a person should know, one sentence each.
    pub fn notes(&self, path: &Path) -> Vec<String> {
        let shown = |place: &Path| quote::path(place.strip_prefix(path).unwrap_or(place));
        let odd = self.odd.iter().map(|(what, (count, first))| format!("{what}: {count}, such as {}", shown(first)));
        let passed = self.first_passed.as_ref().map(|first| {
            let count: usize = self.passed.values().sum();
            format!("files that are no images, passed over: {count} ({}), such as {}", self.passed(), shown(first))
        });
        odd.chain(passed).collect()
    }

    /// "12 `.txt`, 1 `.json`, 1 without an end"
    pub fn passed(&self) -> String {
        const SHOWN: usize = 5;
        let mut kinds: Vec<(&String, &usize)> = self.passed.iter().collect();
        kinds.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let mut shown: Vec<String> = kinds
            .iter()
            .take(SHOWN)
            .map(|(end, count)| match end.as_str() {
                "" => format!("{count} without an end"),
                end => format!("{count} `.{}`", quote::excerpt(end)),
            })
            .collect();
        let rest: usize = kinds.iter().skip(SHOWN).map(|(_, count)| **count).sum();
        if rest > 0 {
            shown.push(format!("{rest} others"));
        }
        shown.join(", ")
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || SYSTEM.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0";

    /// A folder `shop` with files.
    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(&dir.path().join("shop")).unwrap();
        for (name, bytes) in files {
            fs::write(&dir.path().join("shop").join(name), bytes).unwrap();
        }
        dir
    }

    /// Images, problems and notes of a folder.
    fn list(dir: &tempfile::TempDir) -> (Vec<String>, String, String) {
        let shop = dir.path().join("shop");
        let listing = Listing::of(&shop).unwrap();
        let images = listing.classes.iter().flat_map(|(_, images)| images);
        let images = images.map(|path| path.strip_prefix(&shop).unwrap().to_str().unwrap().to_owned()).collect();
        let name = |text: String| text.replace(dir.path().to_str().unwrap(), "DIR");
        (images, name(listing.problems.to_string()), name(listing.notes(&shop).join("\n")))
    }

    #[test]
    fn jpeg_beside_png_and_images_by_any_name_are_listed_in_natural_order() {
        let files: &[(&str, &[u8])] = &[
            ("cat/10.png", PNG),
            ("cat/9.JPG", JPEG),
            ("cat/8.jpeg", JPEG),
            ("dog/a", PNG),
            ("dog/b.dat", JPEG),
            ("dog/c.gif", PNG),
        ];
        let (images, problems, notes) = list(&folder(files));
        assert_eq!(images, ["cat/8.jpeg", "cat/9.JPG", "cat/10.png", "dog/a", "dog/b.dat", "dog/c.gif"]);
        assert_eq!((problems.as_str(), notes.as_str()), ("", ""));
    }

    #[test]
    fn what_is_passed_over_is_counted_by_kind_and_systems_files_are_not() {
        let quiet = [".DS_Store", "cat/Thumbs.db", "cat/desktop.ini", "cat/._1.png", "__MACOSX/cat/1.png"];
        let mut files: Vec<(&str, &[u8])> = quiet.map(|name| (name, JPEG)).to_vec();
        files.push(("cat/1.png", PNG));
        assert_eq!(list(&folder(&files)), (vec!["cat/1.png".to_owned()], String::new(), String::new()));
        files.extend::<[(&str, &[u8]); 5]>([
            ("cat/notes.txt", b"x"),
            ("cat/more.txt", b"x"),
            ("labels.csv", b"x"),
            ("cat/README", b"x"),
            ("cat/.2.png", PNG),
        ]);
        let (images, problems, notes) = list(&folder(&files));
        assert_eq!((images.len(), problems.as_str()), (1, ""));
        insta::assert_snapshot!(notes, @"
        hidden images, passed over: 1, such as `cat/.2.png`
        files that are no images, passed over: 4 (2 `.txt`, 1 without an end, 1 `.csv`), such as `labels.csv`
        ");
    }

    #[test]
    fn images_that_are_not_read_and_images_of_no_class_are_problems() {
        let files: &[(&str, &[u8])] = &[
            ("1.png", PNG),
            ("2.png", PNG),
            ("cat/a.gif", b"GIF89a"),
            ("cat/b.heic", b"\0\0\0\x18ftypheic"),
            ("cat/c.photo", b"RIFF....WEBP"),
            ("cat/d.bmp", b""),
        ];
        let (images, problems, _) = list(&folder(files));
        assert!(images.is_empty());
        insta::assert_snapshot!(problems, @"
        `DIR/shop`: images that lie in no class folder: 2, such as `1.png`; move each into the folder of its class
        `DIR/shop/cat/a.gif`: a GIF image, which is not read; convert it to PNG or JPEG, or move it away
        `DIR/shop/cat/b.heic`: a HEIC image, which is not read; convert it to PNG or JPEG, or move it away
        `DIR/shop/cat/c.photo`: a WebP image, which is not read; convert it to PNG or JPEG, or move it away
        `DIR/shop/cat/d.bmp`: the file is empty
        ");
    }

    #[cfg(unix)]
    #[test]
    fn folders_within_class_folders_are_read_and_links_in_a_circle_end() {
        use std::os::unix::fs::symlink;
        let dir = folder(&[("cat/1.png", PNG), ("cat/old/2.png", PNG), ("cat/old/older/3.jpg", JPEG), ("dog/1.png", PNG)]);
        let at = |name: &str| dir.path().join("shop").join(name);
        symlink("..", at("cat/old/up")).unwrap();
        symlink("nowhere", at("dog/2.png")).unwrap();
        symlink("/dev/zero", at("dog/3.png")).unwrap();
        symlink("../cat/1.png", at("dog/4.png")).unwrap();
        let (images, problems, notes) = list(&dir);
        assert_eq!(images, ["cat/1.png", "cat/old/2.png", "cat/old/older/3.jpg", "dog/1.png", "dog/4.png"]);
        insta::assert_snapshot!(problems, @"
        `DIR/shop/dog/2.png`: a link to nothing
        `DIR/shop/dog/3.png`: a device, not a file
        ");
        insta::assert_snapshot!(notes, @"
        images in folders within class folders, read as of that class: 2, such as `cat/old/2.png`
        links to folders that are read already: 1, such as `cat/old/up`
        ");
    }
}
