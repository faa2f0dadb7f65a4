//! One block of each quantised type. A caller gives a block's bytes and as many values as it has.

use half::f16;

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Byte `i` of `packed` holds value `i` in its low half and value `i + 16` in its high half.
fn nibbles(packed: &[u8], out: &mut [f32], value: impl Fn(f32) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(packed) {
        *low = value(f32::from(byte & 15));
        *high = value(f32::from(byte >> 4));
    }
}

/// As [`nibbles`], with bit `j` of `fifth` as the fifth bit of value `j`.
fn five_bits(fifth: &[u8], packed: &[u8], out: &mut [f32], value: impl Fn(f32) -> f32) {
    let fifth = u32::from_le_bytes([fifth[0], fifth[1], fifth[2], fifth[3]]);
    let bit = |at: usize| ((fifth >> at & 1) << 4) as u8;
    let (low, high) = out.split_at_mut(16);
    for (i, ((low, high), byte)) in low.iter_mut().zip(high).zip(packed).enumerate() {
        *low = value(f32::from(byte & 15 | bit(i)));
        *high = value(f32::from(byte >> 4 | bit(i + 16)));
    }
}

pub(super) fn q4_0(b: &[u8], out: &mut [f32]) {
    let d = half_at(b, 0);
    nibbles(&b[2..], out, |q| d * (q - 8.0));
}

pub(super) fn q4_1(b: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    nibbles(&b[4..], out, |q| d * q + m);
}

pub(super) fn q5_0(b: &[u8], out: &mut [f32]) {
    let d = half_at(b, 0);
    five_bits(&b[2..6], &b[6..], out, |q| d * (q - 16.0));
}

pub(super) fn q5_1(b: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    five_bits(&b[4..8], &b[8..], out, |q| d * q + m);
}

pub(super) fn q8_0(b: &[u8], out: &mut [f32]) {
    let d = half_at(b, 0);
    for (value, byte) in out.iter_mut().zip(&b[2..]) {
        *value = d * f32::from(byte.cast_signed());
    }
}

/// The 6-bit scale and minimum of the `j`-th 32 values of a K block, out of its 12 bytes: the first
/// four pairs lie in the low six bits, the others are split over the high bits and the last bytes.
pub(super) fn scale_and_minimum(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, minimum) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            packed[j + 4] & 15 | packed[j - 4] >> 6 << 4,
            packed[j + 4] >> 4 | packed[j] >> 6 << 4,
        )
    };
    (f32::from(scale), f32::from(minimum))
}

pub(super) fn q4_k(b: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    // 32 bytes hold 64 values: the low halves first, then the high ones.
    for (j, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(&b[4..16], j);
        let (d, m) = (d * scale, m * minimum);
        let packed = &b[16 + j / 2 * 32..];
        for (value, byte) in out.iter_mut().zip(packed) {
            *value = d * f32::from(byte >> (j % 2 * 4) & 15) - m;
        }
    }
}

pub(super) fn q5_k(b: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    for (j, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(&b[4..16], j);
        let (d, m) = (d * scale, m * minimum);
        let packed = &b[48 + j / 2 * 32..];
        // Bit j of byte i is the fifth bit of the i-th of these 32 values.
        for (value, (byte, fifth)) in out.iter_mut().zip(packed.iter().zip(&b[16..48])) {
            let q = byte >> (j % 2 * 4) & 15 | (fifth >> j & 1) << 4;
            *value = d * f32::from(q) - m;
        }
    }
}

pub(super) fn q6_k(b: &[u8], out: &mut [f32]) {
    let d = half_at(b, 208);
    // Two halves of 128 values, each in four runs of 32 that share 32 bytes of upper bits: runs 0 and
    // 2 are the low and high halves of the first 32 bytes, runs 1 and 3 those of the next.
    for (j, out) in out.chunks_exact_mut(32).enumerate() {
        let (side, run) = (j / 4, j % 4);
        let packed = &b[side * 64 + run % 2 * 32..];
        let upper = &b[128 + side * 32..];
        for (i, value) in out.iter_mut().enumerate() {
            let q = packed[i] >> (run / 2 * 4) & 15 | (upper[i] >> (run * 2) & 3) << 4;
            let scale = f32::from(b[192 + j * 2 + i / 16].cast_signed());
            *value = d * scale * (f32::from(q) - 32.0);
        }
    }
}
