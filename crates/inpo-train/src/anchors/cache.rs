//! `anchors.safetensors`, and what it belongs to.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::DType;
use inpo_data::{DataError, PairRecord, sha256};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Anchors, Scorers, Source};
use crate::error::TrainError;

/// The header entry that says what the anchors belong to.
const HEADER: &str = "inpo_anchors";

/// The cache with what it belongs to: the policies, the pairs, the reduction.
pub(crate) fn to_bytes(anchors: &Anchors, of: &AnchorKey) -> Vec<u8> {
    let bytes: Vec<(String, Vec<u8>)> = anchors
        .named()
        .map(|(name, column)| {
            let bytes = column.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, bytes)| {
        let view = TensorView::new(Dtype::F64, vec![bytes.len() / 8], bytes);
        (name, view.expect("the bytes of an f64 vector"))
    });
    safetensors::serialize(views, Some(of.metadata())).expect("views are valid")
}

/// Reads the cache and refuses it unless it is of these policies and these pairs, complete, and
/// equal to a fresh computation of its first row.
///
/// # Errors
///
/// A file that cannot be read, is of something else, lacks a column, or holds a value that is not
/// finite.
pub(crate) fn load(
    path: &Path,
    of: &AnchorKey,
    scorers: &mut Scorers<'_>,
    pairs: &[PairRecord],
) -> Result<Anchors, TrainError> {
    let refuse = |reason: String| {
        let advice = "delete the file to compute the anchors again";
        TrainError::artefact(path, format!("{reason}; {advice}"))
    };
    let bytes = inpo_data::input::read(path).map_err(DataError::read(path))?;
    let malformed = |e: safetensors::SafeTensorError| refuse(e.to_string());
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(malformed)?;
    let found = header.metadata().clone().unwrap_or_default();
    let found = found.get(HEADER).map_or("{}", String::as_str);
    let found: BTreeMap<String, String> =
        serde_json::from_str(found).map_err(|e| refuse(format!("{HEADER}: {e}")))?;
    for (key, expected) in of.fields() {
        let got = found.get(&key).map_or("absent", String::as_str);
        if got != expected {
            return Err(refuse(format!("its {key} is {got}, expected {expected}")));
        }
    }
    let file = SafeTensors::deserialize(&bytes).map_err(malformed)?;
    let column = |name: String| {
        let view = file.tensor(&name).map_err(malformed)?;
        if view.dtype() != Dtype::F64 || view.shape() != [pairs.len()] {
            return Err(refuse(format!("{name} is not f64 [{}]", pairs.len())));
        }
        let values = view.data().chunks_exact(8);
        let values: Vec<f64> = values
            .map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")))
            .collect();
        match values.iter().position(|v| !v.is_finite()) {
            Some(row) => Err(refuse(format!("{name} has no finite value in row {row}"))),
            None => Ok(values),
        }
    };
    let mut anchors = Anchors::default();
    for source in scorers.sources() {
        let [chosen, rejected] = source.columns();
        anchors.insert(source, [column(chosen)?, column(rejected)?]);
    }
    if let Some(first) = pairs.first() {
        let fresh = Anchors::compute(scorers, std::slice::from_ref(first))?;
        for ((name, cached), (_, fresh)) in anchors.named().zip(fresh.named()) {
            if (cached[0] - fresh[0]).abs() > scorers.tolerance() {
                let (cached, fresh) = (cached[0], fresh[0]);
                return Err(refuse(format!(
                    "{name} has {cached} in row 0, now it is {fresh}"
                )));
            }
        }
    }
    Ok(anchors)
}

/// What a cache of anchors belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnchorKey {
    /// Digest of each source's policy.
    pub(crate) policies: BTreeMap<Source, String>,
    /// Digest of the pairs' token ids.
    pub(crate) pairs: String,
    /// Float type that the policy computes in.
    pub(crate) dtype: DType,
}

impl AnchorKey {
    /// The key of `pairs` under policies of these digests, which compute in `dtype`.
    pub(crate) fn new(
        policies: &BTreeMap<Source, String>,
        pairs: &[PairRecord],
        dtype: DType,
    ) -> Self {
        let ids: Vec<_> = pairs
            .iter()
            .map(|p| {
                (
                    &p.prompt_token_ids,
                    &p.chosen_token_ids,
                    &p.rejected_token_ids,
                )
            })
            .collect();
        Self {
            policies: policies.clone(),
            pairs: sha256(&serde_json::to_vec(&ids).expect("lists of ids are JSON")),
            dtype,
        }
    }

    /// What is written and compared, by name.
    fn fields(&self) -> BTreeMap<String, String> {
        let policies = self.policies.iter().map(|(source, digest)| {
            let [column, _] = source.columns();
            (column.replace("_chosen_logps", ""), digest.clone())
        });
        let others = [
            ("pairs", self.pairs.as_str()),
            ("reduction", "sum"),
            ("dtype", self.dtype.name()),
        ];
        let others = others.map(|(key, value)| (key.to_owned(), value.to_owned()));
        policies.chain(others).collect()
    }

    /// One header entry with all fields: the header is an unordered map, and the same run must write
    /// the same bytes.
    fn metadata(&self) -> HashMap<String, String> {
        let fields = serde_json::to_string(&self.fields()).expect("a map of strings is JSON");
        [(HEADER.to_owned(), fields)].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use inpo_policy::Policy;

    fn pair() -> PairRecord {
        PairRecord {
            prompt_id: 0,
            prompt_token_ids: vec![5, 9],
            chosen: String::new(),
            chosen_token_ids: vec![7, 8],
            rejected: String::new(),
            rejected_token_ids: vec![3],
            probability: 1.0,
            score_chosen: None,
            score_rejected: None,
            explored_token_ids: None,
            weight: 1.0,
        }
    }

    /// What a cache says of itself, byte for byte: those of before, all in f32, stay valid.
    #[test]
    fn a_key_names_its_float_type() {
        let key = |dtype| AnchorKey {
            policies: [(Source::Start, "abc".to_owned())].into(),
            pairs: "def".to_owned(),
            dtype,
        };
        for (dtype, name) in [
            (DType::F32, "f32"),
            (DType::BF16, "bf16"),
            (DType::F64, "f64"),
        ] {
            let said =
                format!(r#"{{"dtype":"{name}","pairs":"def","reduction":"sum","start":"abc"}}"#);
            assert_eq!(key(dtype).metadata()[HEADER], said);
        }
    }

    #[test]
    fn a_cache_of_another_float_type_is_refused() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR"));
        let model = model.join("../inpo-policy/tests/fixtures/tiny_llama_tied");
        let policy = Policy::load(&model, &Device::flex()).unwrap();
        let mut scorers = Scorers::one(&policy);
        let digests = [(Source::Start, policy.digest())].into();
        let key = |dtype| AnchorKey::new(&digests, &[pair()], dtype);
        let anchors = Anchors::compute(&mut scorers, &[pair()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchors.safetensors");
        std::fs::write(&path, to_bytes(&anchors, &key(DType::F32))).unwrap();
        let mut read = |dtype| load(&path, &key(dtype), &mut scorers, &[pair()]);
        assert_eq!(read(DType::F32).unwrap(), anchors);
        let error = read(DType::BF16).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "its dtype is f32, expected bf16; delete the file to compute the anchors again"
            ),
            "{error}"
        );
    }
}
