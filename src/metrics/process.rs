//! The process's own figures (`process_…`): memory, descriptors, threads, CPU time.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};
use rustix::time::{ClockId, clock_gettime};

/// The library's figures, but with the CPU time in nanoseconds: whole seconds make a rate of steps.
pub(super) fn families(collector: &ProcessCollector) -> Vec<MetricFamily> {
    let mut families = collector.collect();
    let used = clock_gettime(ClockId::ProcessCPUTime);
    for family in families.iter_mut().filter(|family| family.name() == "process_cpu_seconds_total") {
        for series in family.mut_metric() {
            let mut counter = Counter::default();
            counter.set_value(used.tv_sec as f64 + used.tv_nsec as f64 / 1e9);
            series.set_counter(counter);
        }
    }
    families
}
