//! Who is reached from whom along the edges of a relation.

/// Marks `start` and what it reaches through actions that are not yet marked.
pub(crate) fn reach(start: usize, edge: &impl Fn(usize, usize) -> bool, marked: &mut [bool]) {
    marked[start] = true;
    let mut open = vec![start];
    while let Some(i) = open.pop() {
        for (j, mark) in marked.iter_mut().enumerate() {
            if !*mark && edge(i, j) {
                *mark = true;
                open.push(j);
            }
        }
    }
}
