//! What trains, and the gradient of the votes' log-loss in it.

use burn::module::{Module, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use inpo_kernels::PackedLayout;
use inpo_policy::model::{Decoder, PackedBatch, Trace, TraceOptions};
use inpo_policy::{PreferenceHead, PrefixBatch};

/// A vote to learn from, as token ids.
#[derive(Debug, Clone)]
pub(super) struct Lesson {
    /// What the model reads: the question of a pairwise language model; or both answered conversations and, for a prompt
    /// head, the prompt.
    pub(super) sequences: Vec<Vec<u32>>,
    /// The share of people who prefer the first response.
    pub(super) share: f64,
    /// How much it counts: the number of votes.
    pub(super) weight: f64,
    /// What errors call it.
    pub(super) name: String,
}

impl Lesson {
    pub(super) fn tokens(&self) -> usize {
        self.sequences.iter().map(Vec::len).sum()
    }
}

/// How hidden states become the logit of P(first > second).
#[derive(Module, Debug)]
pub(super) enum Reader {
    /// Heads on the two conversations' states.
    Heads(PreferenceHead),
    /// The difference of two labels' rows of the vocabulary head, `[1, hidden]`, which do not train, on the question's
    /// state.
    Labels(Param<Tensor<2>>),
}

impl Reader {
    /// The logits, `[lessons]`, of lessons of `each` sequences from their states, `[lessons * each, hidden]`.
    pub(super) fn logits(&self, hidden: Tensor<2>, each: usize) -> Tensor<1> {
        let [rows, _] = hidden.dims();
        let lessons = rows / each;
        match self {
            Self::Labels(difference) => (hidden * difference.val().detach())
                .sum_dim(1)
                .reshape([lessons]),
            Self::Heads(head) => {
                let of = |place: usize| {
                    let rows = (0..lessons).map(|lesson| (lesson * each + place) as i32);
                    let rows: Vec<i32> = rows.collect();
                    let rows = Tensor::<1, Int>::from_data(&rows[..], &hidden.device());
                    hidden.clone().select(0, rows)
                };
                head.forward(of(0), of(1), (each > 2).then(|| of(2)))
            }
        }
    }
}

/// What trains: a decoder with its reader, or a reader on states that are known.
#[derive(Module, Debug)]
pub(super) struct Learner {
    /// None where hidden states are known.
    pub(super) decoder: Option<Decoder>,
    pub(super) reader: Reader,
}

/// A group of lessons, and their states where these are known, `[lessons * each, hidden]`.
pub(super) struct Group<'a> {
    pub(super) lessons: Vec<&'a Lesson>,
    pub(super) known: Option<Tensor<2>>,
}

impl Learner {
    /// Adds the gradient of `sum scale w l` to `accumulator`, with `l` the log-loss `-q ln p - (1 - q) ln(1 - p)` of a
    /// lesson's share `q`, `p = sigmoid(logit)`, and `w` its weight; returns the logits.
    pub(super) fn gradient(
        &self,
        group: &Group<'_>,
        scale: f64,
        options: TraceOptions,
        accumulator: &mut GradientsAccumulator<Self>,
    ) -> Vec<f64> {
        let each = group.lessons[0].sequences.len();
        let sequences = group.lessons.iter().flat_map(|lesson| &lesson.sequences);
        let sequences: Vec<&[u32]> = sequences.map(Vec::as_slice).collect();
        let batches = match &self.decoder {
            Some(decoder) => PrefixBatch::split(decoder, &sequences),
            None => Vec::new(),
        };
        let packed: Vec<PackedBatch> = batches.iter().map(pack).collect();
        let traces = self.decoder.iter().flat_map(|decoder| {
            let trace = |batch| Trace::run(decoder, batch, options);
            packed.iter().map(trace)
        });
        let traces: Vec<Trace<'_>> = traces.collect();
        // The rows of the batches, in the order of the sequences.
        let members: Vec<usize> = batches.iter().flat_map(|b| b.members.clone()).collect();
        let states = match &group.known {
            Some(states) => states.clone(),
            None => {
                let rows = Tensor::cat(traces.iter().map(|t| t.hidden().clone()).collect(), 0);
                let mut places = vec![0; members.len()];
                for (row, &member) in members.iter().enumerate() {
                    places[member] = row;
                }
                let places = index(&places, &rows.device());
                rows.select(0, places)
            }
        };
        let states = Tensor::from_inner(states).require_grad();
        let logits = self.reader.logits(states.clone(), each);
        let values: Vec<f64> = logits
            .clone()
            .try_into_vec_as()
            .expect("a float tensor reads as f64");
        let mut grads = log_loss(logits, &group.lessons, scale).backward();
        let back = states.grad_remove(&mut grads);
        let of_reader = GradientsParams::from_module(&mut grads, self);
        accumulator.accumulate(self, of_reader);
        if let Some(back) = back {
            let mut start = 0;
            for (trace, batch) in traces.into_iter().zip(&batches) {
                let rows = index(&batch.members, &back.device());
                start += batch.members.len();
                let mut grads = trace.backward(back.clone().select(0, rows));
                self.of_table(&mut grads);
                accumulator.accumulate(self, grads);
            }
            debug_assert!(start == members.len());
        }
        values
    }

    /// The row of the padding token does not train as an input, as in transformers.
    fn of_table(&self, grads: &mut GradientsParams) {
        let Some(decoder) = &self.decoder else { return };
        let table = decoder.embed_tokens.id;
        if let Some(gradient) = grads.remove::<2>(table) {
            grads.register(table, decoder.embedding_gradient(gradient));
        }
    }
}

/// `sum scale w (max(z, 0) - z q + ln(1 + exp(-|z|)))` over lessons, which is their log-loss without overflow.
fn log_loss(logits: Tensor<1>, lessons: &[&Lesson], scale: f64) -> Tensor<1> {
    let device = logits.device();
    let column = |of: &dyn Fn(&Lesson) -> f64| -> Tensor<1> {
        let values: Vec<f32> = lessons.iter().map(|lesson| of(lesson) as f32).collect();
        let count = values.len();
        Tensor::from_data(TensorData::new(values, [count]), &device)
    };
    let shares = column(&|lesson| lesson.share);
    let weights = column(&|lesson| lesson.weight * scale);
    let tail = (logits.clone().abs().neg().exp().add_scalar(1.0)).log();
    let losses = activation::relu(logits.clone()) - logits * shares + tail;
    (losses * weights).sum()
}

/// The batch of sequences that are read at their last token.
fn pack(batch: &PrefixBatch) -> PackedBatch {
    PackedBatch {
        ids: batch.ids.clone(),
        layout: PackedLayout::clone(&batch.layout),
        positions: batch.last.clone(),
        // Nothing is predicted.
        targets: vec![0; batch.members.len()],
        lengths: vec![1; batch.members.len()],
    }
}

fn index(places: &[usize], device: &Device) -> Tensor<1, Int> {
    let places: Vec<i32> = places.iter().map(|&place| place as i32).collect();
    Tensor::from_data(&places[..], device)
}
