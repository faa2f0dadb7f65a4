//! How the fused attention cuts a batch into pieces of work.

use std::ops::Range;

use super::AttentionShape;
use crate::packed::{PackedGroup, PackedLayout};

/// Queries that a tile should have, over all heads that share keys: enough for a product to pay, few
/// enough for their scores to stay in a core's cache.
const QUERIES: usize = 192;
/// Most tokens of a tile.
const TILE: usize = 128;
/// Fewest tokens of a tile (unless there are no more).
const SMALL_TILE: usize = 4;
/// Tokens of a tile whose keys are cut at the diagonal together: nothing is computed for the tokens before.
const BAND: usize = 32;
/// Most keys that are looked at together.
const KEYS: usize = 256;
/// Tokens from which on a group is worth another unit of work.
const UNIT: usize = 128;
/// Most units of a group (and key head): each holds gradients of the keys that it sees.
const UNITS: usize = 4;

/// The work of a batch. Depends on nothing but the layout, group by group, and the heads' sizes: what is
/// computed for a group is the same to the bit whatever else is in the batch.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    /// Query heads that share a key head.
    pub(super) sharing: usize,
    pub(super) scale: f32,
    pub(super) softcap: Option<f32>,
    pub(super) groups: Vec<Group>,
    window: usize,
}

/// A group of the layout.
#[derive(Debug)]
pub(super) struct Group {
    /// Its first row. All other rows here count from it.
    pub(super) start: usize,
    pub(super) units: Vec<Unit>,
}

/// Tiles one after the other that one thread works on.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) tiles: Vec<Tile>,
    /// The rows of the prompt that its queries see, and those of their own responses. It keeps
    /// gradients for these, one range after the other.
    pub(super) seen: [Range<usize>; 2],
}

/// Queries that are worked on together: tokens of one prompt or response.
#[derive(Debug)]
pub(super) struct Tile {
    /// The first row.
    pub(super) row: usize,
    pub(super) tokens: usize,
    /// The keys that they see, those of a block looked at together.
    pub(super) blocks: Vec<Vec<Piece>>,
    /// The first token's position in its sequence.
    position: usize,
    /// The row where its response begins (for a prompt, where its first response would).
    own: usize,
}

/// Keys that lie one after the other and are seen by no token of the tile before one of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// The first key's row.
    pub(super) row: usize,
    pub(super) count: usize,
    /// Keys of the block before it.
    pub(super) first: usize,
    /// The first token of the tile that may see some.
    pub(super) token: usize,
    /// The first key's position in the tile's sequence.
    position: usize,
}

/// A unit for one key head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) group: &'a Group,
    pub(super) unit: &'a Unit,
    pub(super) kv_head: usize,
}

impl Plan {
    pub(super) fn new(layout: &PackedLayout, shape: &AttentionShape) -> Self {
        let sharing = shape.heads / shape.kv_heads;
        let mut plan = Self {
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            sharing,
            scale: shape.scale as f32,
            softcap: shape.softcap.map(|cap| cap as f32),
            groups: Vec::new(),
            window: shape.window.unwrap_or(usize::MAX),
        };
        let mut start = 0;
        for group in layout.groups() {
            plan.groups.push(Group {
                start,
                units: plan.units(group),
            });
            start += group.tokens();
        }
        plan
    }

    /// Values of a row of queries.
    pub(super) fn q_width(&self) -> usize {
        self.kv_heads * self.sharing * self.head_dim
    }

    /// Values of a row of keys.
    pub(super) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Most queries of a tile.
    pub(super) fn queries(&self) -> usize {
        tile_tokens(self.sharing) * self.sharing
    }

    /// Most keys of a block.
    pub(super) fn keys(&self) -> usize {
        KEYS
    }

    /// Everything to do, the groups and in them the units in order.
    pub(super) fn tasks(&self) -> Vec<Task<'_>> {
        let mut tasks = Vec::new();
        for group in &self.groups {
            for unit in &group.units {
                tasks.extend((0..self.kv_heads).map(|kv_head| Task {
                    group,
                    unit,
                    kv_head,
                }));
            }
        }
        tasks
    }

    /// The parts of each task, row by row, of a matrix whose rows hold `width` values a key head.
    pub(super) fn split<'a>(&self, values: &'a mut [f32], width: usize) -> Vec<Vec<&'a mut [f32]>> {
        let mut rows = values.chunks_mut(self.kv_heads * width);
        let mut parts = Vec::new();
        for unit in self.groups.iter().flat_map(|group| &group.units) {
            let first = parts.len();
            let tokens = unit.tokens();
            parts.extend((0..self.kv_heads).map(|_| Vec::with_capacity(tokens)));
            for row in rows.by_ref().take(tokens) {
                for (part, values) in parts[first..].iter_mut().zip(row.chunks_mut(width)) {
                    part.push(values);
                }
            }
        }
        parts
    }

    /// The tokens of `tile` that see the key at `place` of `piece`.
    pub(super) fn viewers(&self, tile: &Tile, piece: &Piece, place: usize) -> Range<usize> {
        let key = piece.position + place;
        let end = key.saturating_add(self.window);
        let token = |position: usize| position.saturating_sub(tile.position).min(tile.tokens);
        token(key)..token(end)
    }

    /// The keys that some token of `tile` sees, in blocks of about one size.
    fn blocks(&self, tile: &Tile, prompt: usize) -> Vec<Vec<Piece>> {
        let start = (tile.position + 1).saturating_sub(self.window);
        let end = tile.position + tile.tokens;
        let size = (end - start).div_ceil((end - start).div_ceil(KEYS));
        // Where a piece has to end: before the response, and at every band of the diagonal.
        let bands = (BAND..tile.tokens).step_by(BAND);
        let cuts: Vec<usize> = std::iter::once(prompt)
            .chain(bands.map(|token| tile.position + token))
            .collect();
        let block = |first: usize| {
            let last = end.min(first + size);
            let mut pieces = Vec::new();
            let mut position = first;
            while position < last {
                let cuts = cuts.iter().filter(|&&cut| cut > position);
                let until = cuts.fold(last, |until, &cut| until.min(cut));
                let row = if position < prompt {
                    position
                } else {
                    tile.own + position - prompt
                };
                pieces.push(Piece {
                    row,
                    count: until - position,
                    first: position - first,
                    token: position.saturating_sub(tile.position) / BAND * BAND,
                    position,
                });
                position = until;
            }
            pieces
        };
        (start..end).step_by(size).map(block).collect()
    }

    /// Tiles of a group in runs of about the same work.
    fn units(&self, group: &PackedGroup) -> Vec<Unit> {
        let mut tiles = tiles(group, tile_tokens(self.sharing));
        for tile in &mut tiles {
            tile.blocks = self.blocks(tile, group.prompt);
        }
        let work = |tile: &Tile| {
            let keys = tile.blocks.iter().flatten().map(|piece| piece.count);
            tile.tokens * keys.sum::<usize>()
        };
        let all: usize = tiles.iter().map(work).sum();
        let count = (group.tokens() / UNIT).clamp(1, UNITS);
        let mut units: Vec<Vec<Tile>> = Vec::new();
        let mut done = 0;
        for tile in tiles {
            // By the middle of its work, so that runs end at the nearest tile.
            let unit = (2 * done + work(&tile)) * count / (2 * all);
            done += work(&tile);
            if units.len() <= unit {
                units.push(Vec::new());
            }
            if let Some(unit) = units.last_mut() {
                unit.push(tile);
            }
        }
        let unit = |tiles: Vec<Tile>| {
            let (own, last) = (tiles[0].own, &tiles[tiles.len() - 1]);
            let end = last.row + last.tokens;
            let seen = [0..end.min(group.prompt), own..end.max(own)];
            Unit { tiles, seen }
        };
        units.into_iter().map(unit).collect()
    }
}

impl Unit {
    /// Rows of queries.
    pub(super) fn tokens(&self) -> usize {
        self.tiles.iter().map(|tile| tile.tokens).sum()
    }

    /// Rows of keys that it keeps gradients for.
    pub(super) fn keys(&self) -> usize {
        self.seen.iter().map(Range::len).sum()
    }

    /// The place of a key among these.
    pub(super) fn place(&self, row: usize) -> usize {
        let [prompt, own] = &self.seen;
        if row < prompt.end {
            row
        } else {
            prompt.end + row - own.start
        }
    }
}

/// Tokens of a tile.
fn tile_tokens(sharing: usize) -> usize {
    (QUERIES / sharing).clamp(SMALL_TILE, TILE)
}

fn tiles(group: &PackedGroup, size: usize) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let mut add = |start: usize, tokens: usize, position: usize, own: usize| {
        tiles.extend((0..tokens).step_by(size).map(|first| Tile {
            row: start + first,
            tokens: size.min(tokens - first),
            blocks: Vec::new(),
            position: position + first,
            own,
        }));
    };
    add(0, group.prompt, 0, group.prompt);
    let mut start = group.prompt;
    for &tokens in &group.responses {
        add(start, tokens, group.prompt, start);
        start += tokens;
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(groups: Vec<PackedGroup>, window: Option<usize>) -> Plan {
        let layout = PackedLayout::new(groups);
        let shape = AttentionShape {
            heads: 1,
            kv_heads: 1,
            head_dim: 1,
            scale: 1.0,
            softcap: None,
            window,
            tokens: layout.tokens(),
        };
        Plan::new(&layout, &shape)
    }

    /// `[row, count, first, token, position]` of each piece.
    fn pieces(tile: &Tile) -> Vec<[usize; 5]> {
        let pieces = tile.blocks.iter().flatten();
        pieces
            .map(|piece| {
                let Piece { row, count, .. } = *piece;
                [row, count, piece.first, piece.token, piece.position]
            })
            .collect()
    }

    /// A prompt of 40 and a response of 50 tokens, a tile each, cut at 32 tokens of the diagonal; with a
    /// window of 10 the response's first token, at position 40, sees positions from 31 on.
    #[test]
    fn keys_are_cut_at_the_prompt_and_the_diagonal() {
        let groups = vec![PackedGroup {
            prompt: 40,
            responses: vec![50],
        }];
        let plan_of = |window| plan(groups.clone(), window);
        let all = plan_of(None);
        let [unit] = &all.groups[0].units[..] else {
            panic!("90 tokens are one unit");
        };
        assert_eq!(unit.seen, [0..40, 40..90]);
        assert_eq!(
            pieces(&unit.tiles[0]),
            [[0, 32, 0, 0, 0], [32, 8, 32, 32, 32]]
        );
        assert_eq!(
            pieces(&unit.tiles[1]),
            [[0, 40, 0, 0, 0], [40, 32, 40, 0, 40], [72, 18, 72, 32, 72]]
        );
        let near = plan_of(Some(10));
        assert_eq!(
            pieces(&near.groups[0].units[0].tiles[1]),
            [[31, 9, 0, 0, 31], [40, 32, 9, 0, 40], [72, 18, 41, 32, 72]]
        );
    }

    /// 600 tokens: tiles of 128 and one of 88, with 128^2 (1, 2, 3, 4) = 16384, 32768, 49152, 65536 and
    /// 88 * 600 = 52800 scores, a quarter of all being 54160. The last tile's 600 keys are three blocks.
    #[test]
    fn units_have_about_the_same_work() {
        let plan = plan(vec![PackedGroup::sequence(600)], None);
        let units = &plan.groups[0].units;
        let tokens: Vec<usize> = units.iter().map(Unit::tokens).collect();
        assert_eq!(tokens, [256, 128, 128, 88]);
        let keys: Vec<usize> = units.iter().map(Unit::keys).collect();
        assert_eq!(keys, [256, 384, 512, 600]);
        let sizes = |block: &Vec<Piece>| block.iter().map(|piece| piece.count).sum::<usize>();
        let blocks: Vec<usize> = units[3].tiles[0].blocks.iter().map(sizes).collect();
        assert_eq!(blocks, [200, 200, 200]);
    }
}
