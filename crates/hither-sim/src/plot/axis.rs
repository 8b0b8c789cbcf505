//! Axes: their range, their ticks, and how a number reads on them.

/// How numbers lie on an axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Scale {
    #[default]
    Linear,
    Log,
}

/// What numbers on an axis are, and so how they read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Unit {
    #[default]
    Number,
    /// Shares of 1, as per cent.
    Share,
    /// Seconds: `20 ms`, `3 s`, `10 min`.
    Seconds,
    /// Ratios: `1.5×`.
    Times,
}

/// An axis, before it has met its data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Axis {
    pub label: String,
    pub scale: Scale,
    pub unit: Unit,
    /// Where it begins and ends; as the data need, if absent.
    pub range: Option<(f64, f64)>,
    /// Names of 0, 1, 2 and so on, in place of numbers.
    pub names: Vec<String>,
}

/// A tick: how far from the foot of the axis, and its name, which may be empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub at: f64,
    pub name: String,
}

/// An axis that knows where everything lies, in pixels from its foot.
#[derive(Debug)]
pub(super) struct Fitted {
    scale: Scale,
    low: f64,
    high: f64,
    length: f64,
    pub ticks: Vec<Tick>,
}

impl Axis {
    /// Whether a number can lie on it.
    pub(super) fn holds(&self, number: f64) -> bool {
        number.is_finite() && (self.scale == Scale::Linear || number > 0.0)
    }

    /// The axis for these numbers, so many pixels long. An axis that stands begins at 0 if that is not far away, and
    /// ends at a tick; one that lies ends where its numbers end.
    pub(super) fn fit(&self, numbers: &[f64], length: f64, stands: bool) -> Fitted {
        let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (least, most) = if least <= most { (least, most) } else { (1.0, 10.0) };
        let (low, high) = match (self.range, self.scale) {
            (Some(range), _) => range,
            (None, Scale::Log) if stands => log_range(least, most),
            (None, Scale::Log) => (least, most),
            (None, Scale::Linear) if stands => {
                let low = if least >= 0.0 && least < most * 0.75 { 0.0 } else { least };
                let step = nice_step(most - low, 6.0);
                ((low / step).floor() * step, (most / step - 1e-9).ceil() * step)
            }
            (None, Scale::Linear) => (least, most),
        };
        // All the same: something around it.
        let (low, high) = match self.scale {
            _ if high > low => (low, high),
            Scale::Log => (low / 2.0, low * 2.0),
            Scale::Linear => (low - 0.5, low + 0.5),
        };
        let mut fitted = Fitted { scale: self.scale, low, high, length, ticks: Vec::new() };
        let numbers = if !self.names.is_empty() {
            self.names.iter().enumerate().map(|(index, name)| (index as f64, name.clone())).collect()
        } else if self.scale == Scale::Log {
            self.log_ticks(low, high)
        } else {
            self.linear_ticks(low, high, if stands { 6.0 } else { 9.0 })
        };
        let within = |at: &f64| (-0.01..=length + 0.01).contains(at);
        let ticks = numbers
            .into_iter()
            .filter_map(|(number, name)| fitted.place(number).filter(within).map(|at| Tick { at, name }));
        fitted.ticks = ticks.collect();
        fitted
    }

    fn linear_ticks(&self, low: f64, high: f64, wanted: f64) -> Vec<(f64, String)> {
        let step = match self.unit {
            Unit::Seconds if high - low > 90.0 => minute_step(high - low, wanted),
            _ => nice_step(high - low, wanted),
        };
        let first = (low / step - 1e-9).ceil();
        let count = ((high - low) / step + 1e-9).floor().clamp(0.0, 50.0) as u32;
        // Multiples, not sums: sums drift.
        let numbers = (0..=count).map(|index| (first + f64::from(index)) * step);
        numbers.filter(|number| *number <= high + step * 1e-6).map(|number| (number, self.name(number, step))).collect()
    }

    /// Powers of ten with a name; between them, what fits: all nine without a name, or 2 and 5 with one if the axis
    /// is short of ticks.
    fn log_ticks(&self, low: f64, high: f64) -> Vec<(f64, String)> {
        let decades = (high / low).log10();
        let mut out = Vec::new();
        for power in low.log10().floor() as i32..=high.log10().ceil() as i32 {
            for digit in 1..10 {
                let number = f64::from(digit) * 10_f64.powi(power);
                let is_named = match digit {
                    1 => decades < 9.0 || power % 2 == 0,
                    2 | 5 => decades < 3.2,
                    3 | 7 => decades < 0.8,
                    _ => false,
                };
                let name = if is_named { self.name(number, number) } else { String::new() };
                if number >= low * (1.0 - 1e-9) && number <= high * (1.0 + 1e-9) && (is_named || decades < 5.0) {
                    out.push((number, name));
                }
            }
        }
        out
    }

    /// A number as it reads alone, to three digits.
    pub(super) fn value(&self, number: f64) -> String {
        let size = if number == 0.0 || !number.is_finite() { 1.0 } else { number.abs() };
        let step = 10_f64.powi(size.log10().floor() as i32 - 2);
        self.name((number / step).round() * step, step)
    }

    /// A number as it reads beside ticks that are `step` apart.
    fn name(&self, number: f64, step: f64) -> String {
        match self.unit {
            Unit::Number => grouped(number, step),
            Unit::Share => format!("{}\u{202f}%", grouped(number * 100.0, step * 100.0)),
            Unit::Times => format!("{}×", grouped(number, step)),
            Unit::Seconds if number == 0.0 => "0".to_owned(),
            Unit::Seconds => {
                // Ticks of one linear axis all read in one unit; those of a logarithmic one each in its own.
                let is_log = self.scale == Scale::Log;
                let (each, unit) = match if is_log { number.abs() } else { step } {
                    size if size < 0.000_999 => (1e-6, "µs"),
                    size if size < 0.0999 || (is_log && size < 0.999) => (1e-3, "ms"),
                    size if size < 59.9 || is_log => (1.0, "s"),
                    size if size < 3599.0 => (60.0, "min"),
                    _ => (3600.0, "h"),
                };
                format!("{}\u{202f}{unit}", grouped(number / each, step / each))
            }
        }
    }
}

impl Fitted {
    /// How far from the foot a number lies. None if it has no place there.
    pub(super) fn place(&self, number: f64) -> Option<f64> {
        let share = match self.scale {
            Scale::Linear => (number - self.low) / (self.high - self.low),
            Scale::Log if number <= 0.0 => return None,
            Scale::Log => (number / self.low).log10() / (self.high / self.low).log10(),
        };
        // Far outside is as good as just outside, and drawing programs like it better.
        share.is_finite().then(|| share.clamp(-1.0, 2.0) * self.length)
    }
}

/// The largest of 1, 2, 2.5, 5 times a power of ten that makes at least about so many steps.
fn nice_step(span: f64, wanted: f64) -> f64 {
    let span = if span > 0.0 { span } else { 1.0 };
    let rough = span / wanted;
    let power = 10_f64.powi(rough.log10().floor() as i32);
    let digit = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|digit| digit * power >= rough * 0.999).unwrap_or(10.0);
    digit * power
}

/// The same for times of minutes and hours.
fn minute_step(span: f64, wanted: f64) -> f64 {
    const STEPS: [f64; 13] =
        [10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0];
    STEPS.into_iter().find(|step| *step >= span / wanted).unwrap_or_else(|| nice_step(span / 3600.0, wanted) * 3600.0)
}

/// From below the least to above the most, each one of 1, 2, 5 times a power of ten.
fn log_range(least: f64, most: f64) -> (f64, f64) {
    let around = |number: f64| {
        let power = 10_f64.powi(number.log10().floor() as i32);
        [0.5, 1.0, 2.0, 5.0, 10.0].map(|digit| digit * power)
    };
    let low = around(least).into_iter().rfind(|nice| *nice <= least * 1.000_001).unwrap_or(least);
    let high = around(most).into_iter().find(|nice| *nice >= most * 0.999_999).unwrap_or(most);
    (low, high)
}

/// A number with as many decimals as its step needs, and thin spaces between thousands.
fn grouped(number: f64, step: f64) -> String {
    let needs = |decimals: &usize| {
        let scaled = step * 10_f64.powi(*decimals as i32);
        (scaled - scaled.round()).abs() < scaled * 1e-6 && scaled.round() >= 1.0
    };
    let decimals = (0..=6).find(needs).unwrap_or(6);
    let number = if number.abs() < step * 1e-6 { 0.0 } else { number };
    let plain = format!("{:.decimals$}", number.abs());
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut out = String::new();
    if number < 0.0 {
        out.push('−');
    }
    for (index, digit) in whole.chars().enumerate() {
        // Four digits read well without.
        if index > 0 && whole.len() > 4 && (whole.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out += fraction;
    }
    out
}

#[cfg(test)]
pub(super) fn names(axis: &Axis, numbers: &[f64]) -> Vec<String> {
    let ticks = axis.fit(numbers, 300.0, true).ticks;
    ticks.into_iter().map(|tick| tick.name.replace('\u{202f}', " ")).filter(|name| !name.is_empty()).collect()
}
