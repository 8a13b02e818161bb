//! What precisions are worth on a machine, by its instructions: a table, not a measurement, so that the same kind of machine always
//! takes the same. `cargo bench --bench training` prints the measured rates beside it.
//!
//! | instructions | `bf16` | bytes |
//! |---|---|---|
//! | tiles (AMX, where they are switched on) | 16 | 28 |
//! | AVX-512 BF16 and VNNI of AMD's processors (Zen 4 and later) | 2 | 4 |
//! | AVX-512 BF16 and VNNI of others (Intel's since Cooper Lake) | ½ | 6 |
//! | AVX-512 VNNI alone | – | 4 |
//! | anything else | – | – |
//!
//! Operations a second in registers, of `f32` multiply-adds.

use super::simd::{ByteLevel, Level};
use super::tiles::Tiles;

/// Rates of a machine, as multiples of what it does in `f32`; `None` where it has no instructions for the precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worth {
    /// Products of `bf16`.
    pub half: Option<f64>,
    /// Products of bytes.
    pub bytes: Option<f64>,
}

impl Worth {
    /// That of this machine.
    pub fn here() -> Self {
        Self::of(Tiles::best().is_some(), Level::half().is_some(), ByteLevel::best().is_native(), is_amd())
    }

    fn of(tiles: bool, half: bool, bytes: bool, amd: bool) -> Self {
        if tiles && half {
            return Self { half: Some(16.0), bytes: Some(28.0) };
        }
        Self { half: half.then_some(if amd { 2.0 } else { 0.5 }), bytes: bytes.then_some(if half && !amd { 6.0 } else { 4.0 }) }
    }

    /// Whether `bf16` is faster than `f32`.
    pub fn half_pays(self) -> bool {
        self.half.is_some_and(|rate| rate > 1.0)
    }

    /// Whether bytes are faster than `f32`, and than `bf16`.
    pub fn bytes_pay(self) -> bool {
        self.bytes.is_some_and(|rate| rate > 1.0 && self.half.is_none_or(|half| rate > half))
    }
}

/// The instructions that multiply `f32`, or `bf16`, for people: `AVX-512 BF16`.
pub fn instructions(half: bool) -> &'static str {
    match (half, Tiles::best()) {
        (true, Some(tiles)) if Level::half().is_some() => tiles.name(),
        (true, _) => Level::half().map_or("portable", Level::name),
        (false, _) => Level::best().name(),
    }
}

/// The processor and its instruction sets, for reports of measurements: `AMD EPYC 9B45: AVX-512, AVX-512 BF16, AVX-512 VNNI`.
pub fn machine() -> String {
    let mut sets = vec![Level::best().name()];
    sets.extend(Level::half().map(Level::name));
    sets.extend(ByteLevel::best().is_native().then(|| ByteLevel::best().name()));
    sets.extend(Tiles::native().map(|tiles| if Tiles::best().is_some() { tiles.name() } else { "AMX (switched off)" }));
    format!("{}: {}", processor(), sets.join(", "))
}

#[cfg(target_arch = "x86_64")]
fn is_amd() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    let vendor = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat();
    vendor == b"AuthenticAMD"
}

#[cfg(not(target_arch = "x86_64"))]
fn is_amd() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn processor() -> String {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return "x86-64".to_owned();
    }
    let leaves = [0x8000_0002, 0x8000_0003, 0x8000_0004].map(__cpuid);
    let bytes = leaves.map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes).concat()).concat();
    let name = String::from_utf8_lossy(&bytes);
    name.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned()
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> String {
    std::env::consts::ARCH.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_precision_is_taken_where_it_is_faster() {
        let check = |tiles: bool, half: bool, bytes: bool, amd: bool, expected: (bool, bool)| {
            let worth = Worth::of(tiles, half, bytes, amd);
            assert_eq!((worth.half_pays(), worth.bytes_pay()), expected, "{tiles} {half} {bytes} {amd}: {worth:?}");
        };
        check(false, false, false, true, (false, false)); // Zen 3
        check(false, true, true, true, (true, true)); // Zen 5
        check(false, false, true, false, (false, true)); // Ice Lake
        check(false, true, true, false, (false, true)); // Sapphire Rapids, its tiles switched off
        check(true, true, true, false, (true, true)); // and on
    }

    #[test]
    fn a_machine_has_a_name_and_instructions() {
        assert!(machine().contains(Level::best().name()), "{}", machine());
        assert_eq!(instructions(false), Level::best().name());
    }
}
