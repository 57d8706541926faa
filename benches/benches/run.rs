//! From a graph to the outcome of a bare run, by shape and size, all records kept.

use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eve_core::testing::Shape;

fn to_outcome(c: &mut Criterion) {
    let mut group = c.benchmark_group("run");
    group.sample_size(10);
    for shape in [Shape::Chain, Shape::Fanout, Shape::Layered] {
        for components in [1_000, 10_000, 100_000] {
            let Ok(graph) = eve_benches::graph(shape, components) else { continue };
            group.throughput(Throughput::Elements(components as u64));
            group.bench_function(BenchmarkId::new(shape.to_string(), components), |b| {
                b.iter_batched(|| Arc::clone(&graph), eve_benches::bare, BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, to_outcome);
criterion_main!(benches);
