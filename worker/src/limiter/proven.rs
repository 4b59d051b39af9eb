//! Which numbers in flight the server is known to take, from requests it accepted at them.

/// How long an accepted request is evidence, in seconds of activity: at least this, at most twice this.
const SPAN_SECONDS: f64 = 5.0;
/// Accepted requests that prove a level. The server may have finished one that is still in flight here, so that
/// a level one too high is accepted now and then.
const WITNESSES: usize = 4;

/// The highest levels at which requests were accepted, in the present and the previous span.
#[derive(Debug, Default)]
pub(super) struct ProvenLevel {
    present: [usize; WITNESSES],
    previous: [usize; WITNESSES],
    age: f64,
}

impl ProvenLevel {
    /// A request was accepted that started with `level` in flight, `seconds` of activity after the last.
    pub(super) fn accept(&mut self, level: usize, seconds: f64) {
        self.age += seconds;
        if self.age > SPAN_SECONDS {
            self.age = 0.0;
            self.previous = std::mem::take(&mut self.present);
        }
        let lowest = &mut self.present[0];
        if level > *lowest {
            *lowest = level;
            self.present.sort_unstable();
        }
    }

    /// The highest level proven; 0 where nothing is.
    pub(super) fn level(&self) -> usize {
        self.present[0].max(self.previous[0])
    }
}

#[cfg(test)]
mod tests {
    use super::ProvenLevel;

    #[test]
    fn takes_several_witnesses_and_forgets_them() {
        let mut proven = ProvenLevel::default();
        for level in [9, 20, 21, 20, 20] {
            proven.accept(level, 0.1);
        }
        assert_eq!(proven.level(), 20);
        for _ in 0..80 {
            proven.accept(7, 0.1);
        }
        assert_eq!(proven.level(), 20, "in the previous span");
        for _ in 0..60 {
            proven.accept(7, 0.1);
        }
        assert_eq!(proven.level(), 7);
    }
}
