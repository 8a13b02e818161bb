//! The names of pixel columns: `pixel{n}`, `{row}x{column}`, `p_{channel}_{row}_{column}`; and which of these a header follows.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::ImageShape;

/// The names of pixel columns. `{n}` stands for the number of the pixel; or `{row}` and `{column}` for its place, with
/// `{channel}` in images of several channels. All of them count from 0 or from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^[^{}]*(\{(n|row|column|channel)\}[^{}]*)+$"))]
pub struct PixelPattern(Vec<Piece>);

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number(Counts),
}

/// What a number in a column's name counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    Pixels,
    Channels,
    Rows,
    Columns,
}

impl Counts {
    const ALL: [Self; 4] = [Self::Pixels, Self::Channels, Self::Rows, Self::Columns];

    fn word(self) -> &'static str {
        match self {
            Self::Pixels => "{n}",
            Self::Channels => "{channel}",
            Self::Rows => "{row}",
            Self::Columns => "{column}",
        }
    }

    /// Its place in a [`Place`].
    fn axis(self) -> usize {
        match self {
            Self::Channels => 0,
            Self::Rows => 1,
            Self::Columns | Self::Pixels => 2,
        }
    }
}

/// The numbers in a name: channel, row and column; where only pixels are counted, the last is that number.
pub(super) type Place = [usize; 3];

impl PixelPattern {
    /// `pixel{n}`, unless options say otherwise.
    pub(super) fn usual() -> Self {
        Self(vec![Piece::Text("pixel".to_owned()), Piece::Number(Counts::Pixels)])
    }

    /// The numbers in a name that fits this pattern.
    pub(super) fn read(&self, name: &str) -> Option<Place> {
        let mut place = [0; 3];
        let mut rest = name;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Piece::Number(counts) => {
                    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                    place[counts.axis()] = rest[..end].parse().ok()?;
                    rest = &rest[end..];
                }
            }
        }
        rest.is_empty().then_some(place)
    }

    /// Whether a name fits this pattern.
    pub fn fits(&self, name: &str) -> bool {
        self.read(name).is_some()
    }

    /// Whether only pixels are counted, not rows and columns.
    pub(super) fn is_flat(&self) -> bool {
        self.0.contains(&Piece::Number(Counts::Pixels))
    }

    /// The name of the column at a place.
    pub(super) fn name(&self, place: Place) -> String {
        self.0.iter().fold(String::new(), |name, piece| match piece {
            Piece::Text(text) => name + text,
            Piece::Number(counts) => name + &place[counts.axis()].to_string(),
        })
    }

    /// The name of pixel `index` of an image, counted from 0, if names count from `base`.
    pub(super) fn name_of(&self, index: usize, base: Place, shape: ImageShape) -> String {
        let place = if self.is_flat() {
            [0, 0, index]
        } else {
            let row = index / shape.width.max(1);
            [row / shape.height.max(1), row % shape.height.max(1), index % shape.width.max(1)]
        };
        self.name(std::array::from_fn(|axis| place[axis].saturating_add(base[axis])))
    }
}

impl TryFrom<String> for PixelPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            let known = Counts::ALL.into_iter().find(|counts| rest[at..].starts_with(counts.word()));
            let Some(counts) = known else { return Err(no_number(&text)) };
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].to_owned()));
            }
            if matches!(pieces.last(), Some(Piece::Number(_))) {
                return Err(format!("`{}` has two numbers that nothing parts", crate::quote::excerpt(&text)));
            }
            pieces.push(Piece::Number(counts));
            rest = &rest[at + counts.word().len()..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let times = |counts| pieces.iter().filter(|piece| **piece == Piece::Number(counts)).count();
        match Counts::ALL.map(times) {
            [1, 0, 0, 0] | [0, 0 | 1, 1, 1] => Ok(Self(pieces)),
            _ => Err(no_number(&text)),
        }
    }
}

fn no_number(text: &str) -> String {
    format!(
        "`{}` does not say where the number of the pixel stands: write `{{n}}` once, as in `pixel{{n}}`, or its place, as in \
         `{{row}}x{{column}}`",
        crate::quote::excerpt(text)
    )
}

impl From<PixelPattern> for String {
    fn from(pattern: PixelPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for PixelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Number(counts) => f.write_str(counts.word()),
        })
    }
}

/// What the names of a header say about pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inferred {
    /// No names follow one another as those of all pixels do.
    Nothing,
    /// Exactly these do.
    Pattern(PixelPattern),
    /// They do, in more than one way.
    Unclear(Vec<PixelPattern>),
    /// They count the rows and columns of another image.
    OtherGrid { height: usize, width: usize },
}

/// Names that differ in their numbers alone.
struct Family {
    /// The text between the numbers.
    texts: Vec<String>,
    /// The numbers of each name, in the order of the columns.
    numbers: Vec<Vec<usize>>,
}

impl Family {
    /// All families among some names that have numbers.
    fn all<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Self> {
        let mut families: BTreeMap<Vec<String>, Vec<Vec<usize>>> = BTreeMap::new();
        for name in names.filter(|name| !name.contains(['{', '}'])) {
            if let Some((texts, numbers)) = taken_apart(name) {
                families.entry(texts).or_default().push(numbers);
            }
        }
        families.into_iter().map(|(texts, numbers)| Self { texts, numbers }).collect()
    }

    /// The numbers that are not the same in all names: which, the least value, and how many values there may be.
    fn varying(&self) -> Vec<(usize, usize, usize)> {
        let of = |index: usize| self.numbers.iter().map(move |numbers| numbers[index]);
        (0..self.texts.len() - 1)
            .filter_map(|index| {
                let (least, most) = (of(index).min()?, of(index).max()?);
                (least < most).then(|| (index, least, (most - least).saturating_add(1)))
            })
            .collect()
    }

    /// The pattern in which the numbers at some places count something, and all others are text.
    fn pattern(&self, counted: &[(usize, Counts)]) -> PixelPattern {
        let mut pieces = Vec::new();
        let mut text = self.texts[0].clone();
        for (index, after) in self.texts[1..].iter().enumerate() {
            match counted.iter().find(|(place, _)| *place == index) {
                Some((_, counts)) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Number(*counts));
                }
                None => text += &self.numbers[0][index].to_string(),
            }
            text += after;
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        PixelPattern(pieces)
    }

    /// Whether the names come in the order in which the last of these numbers changes fastest.
    fn is_in_order(&self, places: &[usize]) -> bool {
        let key = |numbers: &Vec<usize>| places.iter().map(|&place| numbers[place]).collect::<Vec<_>>();
        self.numbers.is_sorted_by(|a, b| key(a) < key(b))
    }

    /// Whether the text before the one of two numbers is `x`, and before the other `y`.
    fn is_of_x_and_y(&self, places: [usize; 2]) -> bool {
        places.iter().all(|&place| matches!(word_before(&self.texts[place]).as_deref(), Some("x" | "y")))
    }

    /// What the family says about images of a shape.
    fn tells(&self, shape: ImageShape) -> Inferred {
        use Counts::{Channels, Columns, Pixels, Rows};
        let varying = self.varying();
        let places: Vec<usize> = varying.iter().map(|(place, ..)| *place).collect();
        let begins = varying.iter().all(|(_, least, _)| *least <= 1);
        let (count, fits) = (self.numbers.len(), self.numbers.len() == shape.pixels());
        match *varying.as_slice() {
            [(place, _, values)] if begins && fits && values == count => Inferred::Pattern(self.pattern(&[(place, Pixels)])),
            [(a, _, first), (b, _, second)] if begins && shape.channels == 1 && first.checked_mul(second) == Some(count) => {
                let rows_first = self.pattern(&[(a, Rows), (b, Columns)]);
                let columns_first = self.pattern(&[(a, Columns), (b, Rows)]);
                let letters = (axis_of(&self.texts[a]), axis_of(&self.texts[b]));
                let named = match letters {
                    (Some(Rows), Some(Columns)) => Some(true),
                    (Some(Columns), Some(Rows)) => Some(false),
                    _ => None,
                };
                // Without a word about it, the number that changes fastest is that of the column.
                let is_rows_first = named.or_else(|| self.is_in_order(&places).then_some(true));
                let (height, width) = if is_rows_first == Some(false) { (second, first) } else { (first, second) };
                // Programmers call a row `x` as well: if it changes more slowly than `y`, it may be one.
                let x_to_y = if named == Some(true) { [b, a] } else { [a, b] };
                let is_doubtful = named.is_some() && self.is_of_x_and_y([a, b]) && self.is_in_order(&x_to_y);
                match is_rows_first {
                    Some(_) if (height, width) != (shape.height, shape.width) => Inferred::OtherGrid { height, width },
                    Some(_) if is_doubtful && height == width => Inferred::Unclear(vec![rows_first, columns_first]),
                    Some(true) => Inferred::Pattern(rows_first),
                    Some(false) => Inferred::Pattern(columns_first),
                    None if fits => Inferred::Unclear(vec![rows_first, columns_first]),
                    None => Inferred::Nothing,
                }
            }
            [(a, _, first), (b, _, second), (c, _, third)] if begins && fits => {
                let in_order = self.is_in_order(&places);
                let ways = [
                    ([shape.channels, shape.height, shape.width], [Channels, Rows, Columns]),
                    ([shape.height, shape.width, shape.channels], [Rows, Columns, Channels]),
                ];
                let fitting: Vec<PixelPattern> = ways
                    .into_iter()
                    .filter(|(extents, _)| *extents == [first, second, third])
                    .map(|(_, counts)| self.pattern(&[(a, counts[0]), (b, counts[1]), (c, counts[2])]))
                    .collect();
                match <[PixelPattern; 1]>::try_from(fitting) {
                    Ok([one]) if in_order => Inferred::Pattern(one),
                    Ok(one) => Inferred::Unclear(one.to_vec()),
                    Err(none) if none.is_empty() => Inferred::Nothing,
                    Err(several) => Inferred::Unclear(several),
                }
            }
            _ => Inferred::Nothing,
        }
    }
}

/// What a number counts, told by the text before it: `row`, `y`, `col`, `x` and the like.
fn axis_of(text: &str) -> Option<Counts> {
    match word_before(text)?.as_str() {
        "row" | "r" | "y" | "h" => Some(Counts::Rows),
        "column" | "col" | "c" | "x" | "w" => Some(Counts::Columns),
        _ => None,
    }
}

/// The last word of the text before a number.
fn word_before(text: &str) -> Option<String> {
    let word = text.rsplit(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty())?;
    Some(word.to_ascii_lowercase())
}

/// The text around the numbers of a name, and the numbers; `None` if there are none, or too many.
fn taken_apart(name: &str) -> Option<(Vec<String>, Vec<usize>)> {
    const MOST: usize = 6;
    let (mut texts, mut numbers) = (vec![String::new()], Vec::new());
    let mut rest = name;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[at..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |length| at + length);
        texts.last_mut()?.push_str(&rest[..at]);
        numbers.push(rest[at..end].parse().ok()?);
        texts.push(String::new());
        rest = &rest[end..];
        if numbers.len() > MOST {
            return None;
        }
    }
    texts.last_mut()?.push_str(rest);
    (!numbers.is_empty()).then_some((texts, numbers))
}

/// Which pattern the names of all pixels of a shape follow.
pub(super) fn infer<'a>(names: impl Iterator<Item = &'a str>, shape: ImageShape) -> Inferred {
    let mut found = Inferred::Nothing;
    for family in Family::all(names) {
        found = match (found, family.tells(shape)) {
            (found, Inferred::Nothing) => found,
            (Inferred::Nothing | Inferred::OtherGrid { .. }, new) => new,
            (found, Inferred::OtherGrid { .. }) => found,
            (Inferred::Pattern(one), Inferred::Pattern(other)) => Inferred::Unclear(vec![one, other]),
            (Inferred::Unclear(mut several), Inferred::Pattern(one)) => {
                several.push(one);
                Inferred::Unclear(several)
            }
            (_, unclear) => unclear,
        };
    }
    found
}

/// The height and the width that names of rows and columns tell, if there is exactly one grid of them.
pub(super) fn grid<'a>(names: impl Iterator<Item = &'a str>) -> Option<(usize, usize)> {
    const SMALLEST: usize = 4;
    let none = ImageShape { channels: 1, height: 0, width: 0 };
    let grids = Family::all(names).into_iter().filter(|family| family.numbers.len() >= SMALLEST);
    let mut grids = grids.filter_map(|family| match family.tells(none) {
        Inferred::OtherGrid { height, width } => Some((height, width)),
        _ => None,
    });
    let first = grids.next()?;
    grids.next().is_none().then_some(first)
}

/// The places of the names that count one by one, in their order: those of the largest family, if it does.
pub(super) fn counting(names: &[&str]) -> Vec<usize> {
    let family = Family::all(names.iter().copied()).into_iter().max_by_key(|family| family.numbers.len());
    let Some(family) = family else { return Vec::new() };
    let [(place, ..)] = *family.varying().as_slice() else { return Vec::new() };
    let follows = |pair: &[Vec<usize>]| pair[0][place].checked_add(1) == Some(pair[1][place]);
    if !family.numbers.windows(2).all(follows) {
        return Vec::new();
    }
    let is_of_family = |name: &str| taken_apart(name).is_some_and(|(texts, _)| texts == family.texts);
    names.iter().enumerate().filter(|(_, name)| is_of_family(name)).map(|(place, _)| place).collect()
}

/// The pattern that most of the names follow, if they end in numbers.
pub(super) fn likely<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<PixelPattern> {
    let all = names.clone().count();
    let family = Family::all(names).into_iter().max_by_key(|family| family.numbers.len())?;
    let last = family.texts.len().checked_sub(2)?;
    (2 * family.numbers.len() > all).then(|| family.pattern(&[(last, Counts::Pixels)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PixelPattern {
        PixelPattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_pixel_pattern_finds_numbers_and_must_hold_one_place_for_them() {
        let flat: PixelPattern = serde_json::from_str(r#""px{n}_gray""#).unwrap();
        assert_eq!(flat.read("px17_gray"), Some([0, 0, 17]));
        assert_eq!(flat.name([0, 0, 17]), "px17_gray");
        for other in ["px_gray", "px+1_gray", "px17", "17_gray", "px99999999999999999999999_gray"] {
            assert!(!flat.fits(other), "{other}");
        }
        assert_eq!(pattern("{row}x{column}").read("3x27"), Some([0, 3, 27]));
        assert_eq!(pattern("{column}.{row}.{channel}").read("3.27.1"), Some([1, 27, 3]));
        for bad in ["pixel", "p{n}{n}", "{row}", "{row}{column}", "{row}x{row}", "{x}", "{n}-{row}", "}{n}"] {
            let error = PixelPattern::try_from(bad.to_owned()).unwrap_err();
            assert!(error.contains("`{n}` once") || error.contains("nothing parts"), "{error}");
        }
    }

    fn inferred(names: &str, channels: usize, height: usize, width: usize) -> String {
        match infer(names.split(','), ImageShape { channels, height, width }) {
            Inferred::Nothing => "nothing".to_owned(),
            Inferred::Pattern(pattern) => pattern.to_string(),
            Inferred::Unclear(several) => format!("unclear {}", several.len()),
            Inferred::OtherGrid { height, width } => format!("{height} by {width}"),
        }
    }

    #[test]
    fn names_of_pixels_tell_their_pattern() {
        for (names, expected) in [
            ("1x1,1x2,2x1,2x2", "{row}x{column}"),
            ("pixel_0_0,pixel_0_1,pixel_1_0,pixel_1_1", "pixel_{row}_{column}"),
            ("p1,p2,p3,p4", "p{n}"),
            ("0,1,2,3", "{n}"),
            ("0.0,1.0,2.0,3.0", "{n}.0"),
            ("0.0,0.1,1.0,1.1", "{row}.{column}"),
            ("id9,p4,p1,p3,p2,x", "p{n}"),
            ("28x28_1,28x28_2,28x28_3,28x28_4", "28x28_{n}"),
            ("x0y0,x1y0,x0y1,x1y1", "x{column}y{row}"),
            ("x0y0,x0y1,x1y0,x1y1", "unclear 2"),
            ("y0x0,y1x0,y0x1,y1x1", "unclear 2"),
            ("y0x0,y0x1,y1x0,y1x1", "y{row}x{column}"),
            ("x1y1,x0y0,x0y1,x1y0", "x{column}y{row}"),
            ("r0c0,r1c0,r0c1,r1c1", "r{row}c{column}"),
            ("r1c1,r1c2,r2c1,r2c2", "r{row}c{column}"),
            ("1x1,2x1,1x2,2x2", "unclear 2"),
            ("p1,p2,p3,p5", "nothing"),
            ("p2,p3,p4,p5", "nothing"),
            ("p1,p2,p3", "nothing"),
            ("a1,a2,a3,a4,b1,b2,b3,b4", "unclear 2"),
            ("p1,p2,p2,p3", "nothing"),
            ("1x1,1x2,1x3,1x4", "1x{n}"),
            ("{1,{2,{3,{4", "nothing"),
        ] {
            assert_eq!(inferred(names, 1, 2, 2), expected, "{names}");
        }
        assert_eq!(inferred("1x1,1x2,2x1,2x2,3x1,3x2", 1, 2, 3), "3 by 2");
        assert_eq!(inferred("0_0_0,0_0_1,0_1_0,0_1_1,1_0_0,1_0_1,1_1_0,1_1_1", 2, 2, 2), "unclear 2");
        let channels_last = "0_0_0,0_0_1,0_0_2,0_1_0,0_1_1,0_1_2,1_0_0,1_0_1,1_0_2,1_1_0,1_1_1,1_1_2";
        assert_eq!(inferred(channels_last, 3, 2, 2), "{row}_{column}_{channel}");
        assert_eq!(inferred("x0y0,x0y1,x1y0,x1y1,x2y0,x2y1", 1, 2, 3), "x{column}y{row}", "the shape tells");
        assert_eq!(inferred("x0y0,x0y1,x0y2,x1y0,x1y1,x1y2", 1, 2, 3), "3 by 2");
        assert_eq!(grid("label,1x1,1x2,1x3,2x1,2x2,2x3".split(',')), Some((2, 3)));
        assert_eq!(grid("label,pixel1,pixel2,pixel3,pixel4".split(',')), None);
        assert_eq!(counting(&["id", "V3", "V4", "shop", "V5"]), [1, 2, 4]);
        assert_eq!(counting(&["0", "1", "2"]), [0, 1, 2]);
        for none in [&["V1", "V3"][..], &["V2", "V1"], &["a", "b"], &["p_0_0", "p_0_1", "p_1_0"], &["V1"], &[]] {
            assert_eq!(counting(none), [0; 0], "{none:?}");
        }
    }
}
