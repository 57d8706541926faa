//! Large plans need memory, not stack.

use eve_core::run::Outcome;
use eve_core::testing::Shape;

/// A small stack: a recursion over the plan would overflow it long before the end of the chain.
const STACK_BYTES: usize = 256 * 1024;

#[test]
fn a_chain_of_a_hundred_thousand_needs_no_more_stack_than_a_short_one() {
    let run = || eve_benches::bare(eve_benches::graph(Shape::Chain, 100_000).unwrap());
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap();
    let finished = thread.join().unwrap();
    assert_eq!(finished.outcome, Some(Outcome::Succeeded));
    // Four of each component; the run begins, is looked at afresh, and ends.
    assert_eq!(finished.records.len(), 4 * 100_000 + 3);
}

#[test]
fn every_shape_comes_to_its_end() {
    for shape in [Shape::Chain, Shape::Fanout, Shape::Layered] {
        let finished = eve_benches::bare(eve_benches::graph(shape, 3_000).unwrap());
        assert_eq!(finished.outcome, Some(Outcome::Succeeded), "{shape}");
    }
}
