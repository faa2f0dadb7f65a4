//! The table of a `Precompiled` normaliser: SentencePiece's rules in its own binary form.
//!
//! Four bytes with the length of a double array in bytes, that array of 32-bit units, and then the replacements, each
//! ended by a zero byte. The library follows the array without looking at its length.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest table in bytes; the one of T5 and XLM-R has 240,000.
const LONGEST: usize = 2 << 20;

/// The longest replacement in bytes; that of ﷺ, the longest there is, has 33.
const LONGEST_REPLACEMENT: usize = 256;

/// Checks that no text leads out of the table, and returns the length of the longest replacement in bytes.
pub(super) fn check(base64: &str) -> Result<usize, String> {
    let refuse = |what: &str| format!("`precompiled_charsmap` {what}");
    if base64.len() > LONGEST / 3 * 4 {
        let length = base64.len();
        return Err(refuse(&format!(
            "has {length} characters, and at most {} are read",
            LONGEST / 3 * 4
        )));
    }
    let bytes = STANDARD.decode(base64);
    let bytes = bytes.map_err(|e| refuse(&format!("is not base64: {e}")))?;
    let (length, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| refuse("is cut off"))?;
    let length = u32::from_le_bytes(*length) as usize / 4 * 4;
    let (array, text) = rest
        .split_at_checked(length)
        .ok_or_else(|| refuse("is cut off"))?;
    let units: Vec<usize> = array
        .chunks_exact(4)
        .map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]) as usize)
        .collect();
    if units.is_empty() {
        return Err(refuse("is empty"));
    }
    let text =
        std::str::from_utf8(text).map_err(|_| refuse("holds replacements that are no text"))?;
    let mut longest = 0;
    for (place, &unit) in units.iter().enumerate() {
        // A unit with the highest bit is the value of a key, where no key goes on.
        if place > 0 && unit >> 31 == 1 {
            continue;
        }
        let offset = (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let base = place ^ offset;
        if base | 0xff >= units.len() {
            return Err(refuse("has a step that leads out of it"));
        }
        if (unit >> 8) & 1 == 1 {
            let start = units[base] & ((1 << 31) - 1);
            let replacement = text
                .get(start..)
                .ok_or_else(|| refuse("has a replacement outside its text"))?;
            let mut bytes = replacement.bytes().take(LONGEST_REPLACEMENT + 1);
            let length = bytes.position(|byte| byte == 0);
            let length = length.unwrap_or(replacement.len());
            if length > LONGEST_REPLACEMENT {
                return Err(refuse("has a replacement of more than 256 bytes"));
            }
            longest = longest.max(length);
        }
    }
    Ok(longest)
}
