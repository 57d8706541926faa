//! From a plan to its graph, by shape and size.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eve_core::testing::Shape;

fn from_plan(c: &mut Criterion) {
    let mut group = c.benchmark_group("graph");
    group.sample_size(10);
    for shape in [Shape::Chain, Shape::Fanout, Shape::Layered] {
        for components in [1_000, 10_000, 100_000] {
            group.throughput(Throughput::Elements(components as u64));
            group.bench_function(BenchmarkId::new(shape.to_string(), components), |b| {
                b.iter(|| eve_benches::graph(shape, components));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, from_plan);
criterion_main!(benches);
