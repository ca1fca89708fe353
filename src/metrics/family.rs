//! Families of series in the form that the `prometheus` encoder takes.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily};

use super::cell::TimesTotal;
use super::name::Spec;

/// One metric with all its series, being filled at a scrape.
pub(super) struct Family {
    spec: Spec,
    series: Vec<Metric>,
}

impl Family {
    pub(super) fn new(spec: Spec) -> Self {
        Self { spec, series: Vec::new() }
    }

    /// Adds a series of a counter or gauge, by the spec.
    pub(super) fn value<const N: usize>(&mut self, labels: [&str; N], value: f64) {
        let mut series = self.labeled(labels);
        if self.spec.kind == prometheus::proto::MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            series.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            series.set_gauge(gauge);
        }
        self.series.push(series);
    }

    /// [`Family::value`] of a count, exact up to 2^53.
    pub(super) fn count<const N: usize>(&mut self, labels: [&str; N], count: u64) {
        self.value(labels, count as f64);
    }

    pub(super) fn times<const N: usize>(&mut self, labels: [&str; N], times: &TimesTotal) {
        let buckets = times.cumulative().map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(times.count());
        histogram.set_sample_sum(times.seconds());
        let mut series = self.labeled(labels);
        series.set_histogram(histogram);
        self.series.push(series);
    }

    /// `None` without a series: the encoder refuses an empty family.
    pub(super) fn finish(self) -> Option<MetricFamily> {
        if self.series.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.spec.name.into());
        family.set_help(self.spec.help.into());
        family.set_field_type(self.spec.kind);
        family.set_metric(self.series);
        Some(family)
    }

    fn labeled<const N: usize>(&self, values: [&str; N]) -> Metric {
        debug_assert_eq!(self.spec.labels.len(), N, "{}", self.spec.name);
        let pairs = self.spec.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).into());
            pair.set_value(value.into());
            pair
        });
        Metric::from_label(pairs.collect())
    }
}
