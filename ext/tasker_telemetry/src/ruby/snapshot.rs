use crate::error::Result;
use crate::helpers::nogvl::without_gvl;
use crate::helpers::scrape;
use crate::helpers::value::value;
use magnus::{value::ReprValue, RArray, Ruby};
use tasker_telemetry_core::snapshot::Point;

/// Every series as `[name, kind, help, labels, value, superseded, created_at]`.
pub fn rows(ruby: &Ruby) -> Result<RArray> {
    let scrape = scrape();
    let picture = without_gvl(|_| scrape.snapshot())?;
    let rows = ruby.ary_new_capa(picture.series());
    let mut point = Point::new();
    for family in &picture.families {
        let descriptor = &family.descriptor;
        let (name, help) = (ruby.str_new(&descriptor.name), ruby.str_new(&descriptor.help));
        name.freeze();
        help.freeze();
        let kind = ruby.to_symbol(descriptor.kind.name());
        for index in 0..family.len() {
            if !family.load(index, &mut point) {
                continue;
            }
            let labels = ruby.hash_new();
            for (label, value) in point.labels(descriptor) {
                labels.aset(ruby.to_symbol(label), value)?;
            }
            let created_at = point.created_at as f64 / 1e9;
            let value = value(ruby, descriptor, &point.value)?;
            rows.push((name, kind, help, labels, value, family.superseded, created_at))?;
        }
    }
    Ok(rows)
}
