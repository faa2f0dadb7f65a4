//! What differs between layers of full attention and layers with a sliding window.

use crate::config::ModelConfig;

/// How a layer attends: what differs from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayerKind {
    /// Whether attention is over a sliding window only.
    pub(super) slides: bool,
    /// Whether queries and keys are rotated.
    pub(super) rotates: bool,
}

impl LayerKind {
    pub(super) fn new(config: &ModelConfig, layer: usize) -> Self {
        Self {
            slides: config.window(layer).is_some(),
            rotates: config.rotates(layer),
        }
    }
}

/// A value for all layers, or one for layers of full attention and one for those with a sliding window.
#[derive(Debug, Clone, Copy)]
pub(super) enum FullOrSliding<T> {
    /// The same for all layers.
    Same(T),
    /// One for each kind of layer.
    Each { full: T, sliding: T },
}

impl<T> FullOrSliding<T> {
    /// The value for layers of `kind`.
    pub(super) fn of(&self, kind: LayerKind) -> &T {
        match self {
            Self::Same(value) => value,
            Self::Each { sliding, .. } if kind.slides => sliding,
            Self::Each { full, .. } => full,
        }
    }

    pub(super) fn map<R>(&self, f: impl Fn(&T) -> R) -> FullOrSliding<R> {
        match self {
            Self::Same(value) => FullOrSliding::Same(f(value)),
            Self::Each { full, sliding } => FullOrSliding::Each {
                full: f(full),
                sliding: f(sliding),
            },
        }
    }
}

/// The sliding windows of the layers, in positions; none is full attention.
pub(super) fn windows(config: &ModelConfig) -> FullOrSliding<Option<usize>> {
    let windows = (0..config.num_hidden_layers).map(|layer| config.window(layer));
    let sliding = windows.clone().flatten().next();
    if windows.clone().all(|window| window == sliding) {
        FullOrSliding::Same(sliding)
    } else {
        let full = None;
        FullOrSliding::Each { full, sliding }
    }
}
