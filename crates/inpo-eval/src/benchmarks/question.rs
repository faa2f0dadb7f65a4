//! What a model is asked, as token ids: the tokenisation and truncation of the harness's `HFLM`.

use std::sync::Arc;

use inpo_policy::{Policy, PolicyError, TextCodec};
use serde_json::{Value, json};

use super::context::{Form, Front};
use super::python::rstrip;
use super::task::{Ask, Delimiters};

/// A question to a model.
#[derive(Debug)]
pub(super) struct Question {
    /// The texts behind the requests, as the harness logs them.
    pub(super) arguments: Vec<Value>,
    pub(super) requests: Requests,
    /// Whether its front was cut.
    pub(super) is_cut: bool,
}

/// What is computed for a question.
#[derive(Debug)]
pub(super) enum Requests {
    /// The log-likelihood of each continuation.
    Scored(Vec<Scored>),
    Text(Asked),
}

/// A continuation behind a context.
#[derive(Debug)]
pub(super) struct Scored {
    pub(super) context: Arc<[u32]>,
    pub(super) continuation: Vec<u32>,
}

/// A text that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) prompt: Vec<u32>,
    pub(super) limits: Limits,
}

/// Where a text ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Limits {
    pub(super) until: Vec<String>,
    pub(super) max_new_tokens: usize,
}

/// Reads and writes texts as the harness does with a model of transformers.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    codec: &'a TextCodec,
    /// The token that stands for an empty context: the first token, or else the end token.
    prefix: Option<&'a str>,
    bos: Option<&'a str>,
    eos: Option<&'a str>,
    /// Tokens that the model reads at most.
    max_length: usize,
    /// Tokens that end every text.
    ends: Vec<u32>,
}

/// What is asked of one document, with all that stands before it.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) ask: &'a Ask,
    pub(super) front: &'a Front,
    /// What the question itself begins with in every document.
    pub(super) fixed_front: &'a str,
    pub(super) form: &'a Form,
    pub(super) delimiters: &'a Delimiters,
    /// Whether a question that is too long by itself is cut too.
    pub(super) truncate: bool,
    /// The column of the question, for messages.
    pub(super) column: &'a str,
    /// The longest text, whatever the task says.
    pub(super) max_new_tokens: Option<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(policy: &'a Policy) -> Result<Self, PolicyError> {
        let codec = policy.codec()?;
        let (bos, eos) = (
            codec.special_token("bos_token"),
            codec.special_token("eos_token"),
        );
        let mut ends = policy.config().eos_token_ids.clone();
        ends.extend(eos.and_then(|token| codec.token_to_id(token)));
        Ok(Self {
            codec,
            prefix: bos.or(eos),
            bos,
            eos,
            max_length: policy.config().max_position_embeddings,
            ends,
        })
    }

    /// The ids of a text, with the tokenizer's special tokens unless it begins with `first` already.
    fn encode(&self, text: &str, first: Option<&str>) -> Result<Vec<u32>, String> {
        let ids = if first.is_some_and(|first| text.starts_with(first)) {
            self.codec.encode(text)
        } else {
            self.codec.encode_with_special(text)
        };
        ids.map_err(|error| error.to_string())
    }

    /// The question of a document. What is wrong with it is told in words.
    pub(super) fn question(&self, asking: &Asking<'_>) -> Result<Question, String> {
        let prompt = |front: &Front, question: &str| {
            if !asking.form.chat {
                return Ok(front.text(question));
            }
            let chat = front.chat(question, self.codec, asking.form.multiturn);
            chat.map_err(|error| error.to_string())
        };
        // The document's own part, whose length is not to be cut.
        let own = |question: &str| {
            let own = question.strip_prefix(asking.fixed_front);
            prompt(&Front::default(), own.unwrap_or(question))
        };
        // A template ends with what opens the answer.
        let delimiter = if asking.form.chat {
            ""
        } else {
            &asking.delimiters.target
        };
        match asking.ask {
            Ask::Choices { context, choices } => {
                let bare = || own(context);
                let context = prompt(asking.front, context)?;
                let continuations = choices.iter().map(|choice| format!("{delimiter}{choice}"));
                let pairs: Vec<(&str, String)> =
                    continuations.map(|text| (context.as_str(), text)).collect();
                self.scored(asking, &pairs, &|_| bare())
            }
            Ask::Contexts {
                contexts,
                continuation,
            } => {
                let bare = |place: usize| own(&contexts[place]);
                let filled = contexts.iter().map(|context| prompt(asking.front, context));
                let filled: Vec<String> = filled.collect::<Result<_, _>>()?;
                let continuation = format!("{delimiter}{continuation}");
                let pairs: Vec<_> = filled
                    .iter()
                    .map(|text| (text.as_str(), continuation.clone()))
                    .collect();
                self.scored(asking, &pairs, &bare)
            }
            Ask::Text {
                context,
                until,
                max_new_tokens,
            } => {
                let bare = || own(context);
                let limits = Limits {
                    until: until.clone(),
                    max_new_tokens: asking.max_new_tokens.unwrap_or(*max_new_tokens),
                };
                self.text(asking, prompt(asking.front, context)?, limits, &bare)
            }
        }
    }

    fn scored(
        &self,
        asking: &Asking<'_>,
        pairs: &[(&str, String)],
        bare: &dyn Fn(usize) -> Result<String, String>,
    ) -> Result<Question, String> {
        let (mut requests, mut is_cut): (Vec<Scored>, bool) = (Vec::new(), false);
        let mut last: Option<(&str, Arc<[u32]>)> = None;
        for (place, (context, continuation)) in pairs.iter().enumerate() {
            // The choices of a document share their context.
            let known = last.as_ref().filter(|(text, _)| text == context);
            let known = known.map(|(_, ids)| Arc::clone(ids));
            let mut pair = self.pair(context, continuation, known)?;
            let (before, after) = (pair.context.len(), pair.continuation.len());
            if after > self.max_length {
                return Err(format!(
                    "answer {place} has {after} tokens, and the model's context holds {}",
                    self.max_length
                ));
            }
            last = Some((context, Arc::clone(&pair.context)));
            if before + after > self.max_length + 1 {
                if !asking.truncate {
                    let own = self.pair(&bare(place)?, continuation, None)?;
                    let own = own.context.len() + own.continuation.len();
                    self.fits(asking, own, self.max_length + 1)?;
                }
                let kept = self.max_length + 1 - after;
                pair.context = pair.context[before - kept..].into();
                is_cut = true;
            }
            requests.push(pair);
        }
        Ok(Question {
            arguments: pairs
                .iter()
                .map(|(context, text)| json!([context, text]))
                .collect(),
            requests: Requests::Scored(requests),
            is_cut,
        })
    }

    /// A context and its continuation: white space at the end of the context belongs to the continuation, which is what
    /// both together have behind the context's own tokens.
    fn pair(
        &self,
        context: &str,
        continuation: &str,
        known: Option<Arc<[u32]>>,
    ) -> Result<Scored, String> {
        let scored = if context.is_empty() {
            let continuation = self
                .codec
                .encode(continuation)
                .map_err(|error| error.to_string())?;
            let prefix = self.prefix.and_then(|token| self.codec.token_to_id(token));
            let prefix =
                prefix.ok_or("the context is empty, and the tokenizer names no first token")?;
            if continuation.first() == Some(&prefix) {
                Scored {
                    context: [prefix].into(),
                    continuation: continuation[1..].to_vec(),
                }
            } else {
                Scored {
                    context: [prefix].into(),
                    continuation,
                }
            }
        } else {
            let front = rstrip(context);
            let context_ids = match known {
                Some(ids) => ids,
                None => self.encode(front, self.prefix)?.into(),
            };
            let mut whole = self.encode(&format!("{context}{continuation}"), self.prefix)?;
            Scored {
                continuation: whole.split_off(context_ids.len().min(whole.len())),
                context: context_ids,
            }
        };
        if scored.context.is_empty() {
            return Err("the context has no token".to_owned());
        }
        if scored.continuation.is_empty() {
            return Err(format!(
                "the answer {continuation:?} has no token of its own"
            ));
        }
        Ok(scored)
    }

    fn text(
        &self,
        asking: &Asking<'_>,
        prompt: String,
        limits: Limits,
        bare: &dyn Fn() -> Result<String, String>,
    ) -> Result<Question, String> {
        let room = self.max_length.saturating_sub(limits.max_new_tokens);
        if room == 0 {
            return Err(format!(
                "an answer of {} tokens leaves no room for the question in the model's context of {}; ask for fewer with \
                 --max-new-tokens",
                limits.max_new_tokens, self.max_length
            ));
        }
        let mut ids = self.encode(&prompt, self.bos)?;
        if ids.is_empty() {
            return Err("the question has no token".to_owned());
        }
        let is_cut = ids.len() > room;
        if is_cut {
            if !asking.truncate {
                let own = self.encode(&bare()?, self.bos)?.len();
                self.fits(asking, own, room)?;
            }
            ids.drain(..ids.len() - room);
        }
        let settings = json!({"until": limits.until, "max_gen_toks": limits.max_new_tokens, "do_sample": false});
        Ok(Question {
            arguments: vec![json!([prompt, settings])],
            requests: Requests::Text(Asked {
                prompt: ids,
                limits,
            }),
            is_cut,
        })
    }

    /// Refuses a question that is too long without any example.
    fn fits(&self, asking: &Asking<'_>, tokens: usize, room: usize) -> Result<(), String> {
        if tokens <= room {
            return Ok(());
        }
        Err(format!(
            "`{}`: the question with its answer has {tokens} tokens, and the model's context has room for {room}; leave the row out, \
             or cut such questions on the left as lm-evaluation-harness does with --truncate",
            asking.column
        ))
    }

    /// The ids that end a text with these stops: those of the model, and stops that are special tokens.
    pub(super) fn ends(&self, until: &[String]) -> Vec<u32> {
        let stops = until.iter().filter_map(|stop| self.codec.token_to_id(stop));
        // A token that the text shows is found in the text.
        let special =
            stops.filter(|id| self.codec.decode(&[*id]).is_ok_and(|text| text.is_empty()));
        self.ends.iter().copied().chain(special).collect()
    }

    /// The text of generated ids, cut at the first stop.
    pub(super) fn generated(&self, ids: &[u32], until: &[String]) -> Result<String, PolicyError> {
        let mut text = self.codec.decode(ids)?;
        for stop in until.iter().map(String::as_str).chain(self.eos) {
            if let Some(end) = text.find(stop).filter(|_| !stop.is_empty()) {
                text.truncate(end);
            }
        }
        Ok(text)
    }
}
