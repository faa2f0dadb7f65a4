use super::*;

// Binary16: 0.5 is sign 0, exponent 14, so 14 << 10 = 0x3800; 2.0 is 0x4000; -1.5 is 0xbe00.
const HALF: [u8; 2] = [0x00, 0x38];
const TWO: [u8; 2] = [0x00, 0x40];
const MINUS_ONE_AND_A_HALF: [u8; 2] = [0x00, 0xbe];

#[test]
fn floats() {
    assert_eq!(ElementType::F32.dequantise(&1.5f32.to_le_bytes()), [1.5]);
    assert_eq!(
        ElementType::F16.dequantise(&[HALF, MINUS_ONE_AND_A_HALF].concat()),
        [0.5, -1.5]
    );
    // The upper half of the f32 1.0 = 0x3f800000 is 0x3f80; of -2.0 = 0xc0000000 it is 0xc000.
    assert_eq!(
        ElementType::BF16.dequantise(&[0x80, 0x3f, 0x00, 0xc0]),
        [1.0, -2.0]
    );
}

#[test]
fn q8_0_is_scale_times_signed_byte() {
    let mut block = HALF.to_vec();
    block.extend([3, 0xff, 0x80]); // 3, -1, -128
    block.extend([0; 29]);
    let values = ElementType::Q8_0.dequantise(&block);
    assert_eq!(values[..4], [1.5, -0.5, -64.0, 0.0]);
    assert_eq!(values.len(), 32);
}

#[test]
fn q4_0_is_scale_times_nibble_less_eight() {
    let mut block = TWO.to_vec();
    block.push(0xf0); // weight 0: 0, weight 16: 15
    block.push(0x19); // weight 1: 9, weight 17: 1
    block.extend([0x88; 14]); // all others 8
    let values = ElementType::Q4_0.dequantise(&block);
    assert_eq!(values[..3], [-16.0, 2.0, 0.0]); // 2 (0 - 8), 2 (9 - 8), 2 (8 - 8)
    assert_eq!(values[16..19], [14.0, -14.0, 0.0]); // 2 (15 - 8), 2 (1 - 8)
}

#[test]
fn q4_1_is_scale_times_nibble_plus_minimum() {
    let mut block = [HALF, MINUS_ONE_AND_A_HALF].concat();
    block.push(0xf0); // weight 0: 0, weight 16: 15
    block.push(0x19); // weight 1: 9, weight 17: 1
    block.extend([0x33; 14]); // all others 3
    let values = ElementType::Q4_1.dequantise(&block);
    assert_eq!(values[..3], [-1.5, 3.0, 0.0]); // 0.5 q - 1.5 at 0, 9, 3
    assert_eq!(values[16..19], [6.0, -1.0, 0.0]); // at 15, 1, 3
}

#[test]
fn many_blocks_are_converted_in_order() {
    let bytes: Vec<u8> = (0..10_000u32)
        .flat_map(|i| (i as f32).to_le_bytes())
        .collect();
    let expected: Vec<f32> = (0..10_000u32).map(|i| i as f32).collect();
    assert_eq!(ElementType::F32.dequantise(&bytes), expected);
}

#[test]
fn sizes_are_whole_blocks() {
    // 576 values of Q4_1 are 18 blocks of 20 bytes.
    assert_eq!(ElementType::Q4_1.bytes_of(576), Some(360));
    assert_eq!(ElementType::Q4_1.bytes_of(570), None);
    assert_eq!(ElementType::F32.bytes_of(usize::MAX), None);
}

/// Random blocks of every quantised type against the `gguf` Python package
/// (`tests/fixtures/gguf_blocks.py`), to the bit.
#[test]
fn blocks_are_those_of_the_reference_package() {
    #[derive(serde::Deserialize)]
    struct Case {
        kind: String,
        bytes: String,
        values: Vec<f32>,
    }
    let cases = include_str!("../../../tests/fixtures/gguf_blocks.json");
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    let types = [
        ("Q4_0", ElementType::Q4_0),
        ("Q4_1", ElementType::Q4_1),
        ("Q5_0", ElementType::Q5_0),
        ("Q5_1", ElementType::Q5_1),
        ("Q8_0", ElementType::Q8_0),
        ("Q4_K", ElementType::Q4K),
        ("Q5_K", ElementType::Q5K),
        ("Q6_K", ElementType::Q6K),
        ("F16", ElementType::F16),
        ("BF16", ElementType::BF16),
    ];
    assert_eq!(cases.len(), types.len());
    for (case, (name, element)) in cases.iter().zip(types) {
        assert_eq!(case.kind, name);
        let bytes: Vec<u8> = (0..case.bytes.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&case.bytes[i..i + 2], 16).unwrap())
            .collect();
        assert_eq!(element.bytes_of(case.values.len()), Some(bytes.len()));
        assert_eq!(element.dequantise(&bytes), case.values, "{name}");
    }
}

/// The rows of a product with the identity are the values that are loaded, for every type that is multiplied as it is: three
/// outputs, taken in another order.
#[test]
fn blocks_multiply_as_what_they_hold() {
    use burn::tensor::{Device, Tensor, TensorData};
    use inpo_kernels::BlockMatrix;

    let identity = |width: usize| {
        let values: Vec<f32> = (0..width * width)
            .map(|i| if i % (width + 1) == 0 { 1.0 } else { 0.0 })
            .collect();
        Tensor::<2>::from_data(TensorData::new(values, [width, width]), &Device::flex())
    };
    let taken = BlockMatrix::takes(&identity(2));
    let mut kinds = 0;
    for element in [
        ElementType::F32,
        ElementType::F16,
        ElementType::BF16,
        ElementType::Q4_0,
        ElementType::Q4_1,
        ElementType::Q5_0,
        ElementType::Q5_1,
        ElementType::Q8_0,
        ElementType::Q4K,
        ElementType::Q5K,
        ElementType::Q6K,
    ] {
        let input = 2 * element.block_len().max(32);
        let of_row = element.bytes_of(input).unwrap();
        let mut bytes: Vec<u8> = (0..3 * of_row)
            .map(|i| (i * 91 + i / 7 * 13) as u8)
            .collect();
        // Scales and minima between 1 and 2, or -1 and -2; bf16 numbers of any size.
        for block in bytes.chunks_exact_mut(element.block_bytes()) {
            match element {
                ElementType::BF16 => block[1] &= 0xBF,
                _ if block.len() > 4 => {
                    (block[1], block[3]) = (0x3C | block[1] & 3, 0xBC | block[3] & 3)
                }
                _ => {}
            }
        }
        let order = [2, 0, 1];
        let stored = StoredMatrix::new(element, [3, input], bytes.clone());
        let kind = stored.as_ref().map(StoredMatrix::kind);
        assert_eq!(kind, element.block_kind(), "{element:?}");
        let Some(stored) = stored.filter(|_| taken) else {
            continue;
        };
        kinds += 1;
        let stored = stored.with_order(order.to_vec());
        // A few rows at a time, as every processor that takes any takes them.
        let matrix = crate::model::block_matrix(&stored);
        let parts = identity(input).split(64, 0).into_iter();
        let rows = Tensor::cat(parts.map(|rows| matrix.product(rows)).collect(), 0);
        let columns = rows.transpose().try_into_vec_as::<f32>().unwrap();
        for (output, columns) in order.iter().zip(columns.chunks_exact(input)) {
            let expected = element.dequantise(&bytes[output * of_row..][..of_row]);
            for (got, expected) in columns.iter().zip(expected) {
                let error = (got - expected).abs();
                assert!(
                    error <= expected.abs() * 1e-6 + 1e-5,
                    "{element:?}: {got}, {expected}"
                );
            }
        }
    }
    if taken {
        assert_eq!(kinds, 8);
    } else {
        eprintln!("no AVX-512 here: blocks are not multiplied");
    }
}

#[test]
fn a_value_that_is_no_number_is_found() {
    let mut values = vec![0.0; 300_000];
    assert_eq!(first_not_finite(&values), None);
    values[200_001] = f32::INFINITY;
    values[250_000] = f32::NAN;
    assert_eq!(first_not_finite(&values), Some(200_001));
}

#[test]
fn a_failed_read_is_handed_on() {
    let read = |at: usize, len: usize| match at {
        0 => Ok(vec![0u8; len]),
        _ => Err("no more"),
    };
    assert_eq!(
        ElementType::F32.dequantise_pieces(200_000, read),
        Err("no more")
    );
    assert_eq!(
        ElementType::F32.dequantise_pieces(3, read),
        Ok(vec![0.0; 3])
    );
}
