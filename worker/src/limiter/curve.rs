//! How a level grows back after a refusal: the same curve for the concurrency and for the pace.
//!
//! What is refused, and how far a level falls, is decided in `concurrency` and `pace`.

/// The way back to the refused level takes K divided by this. What was taken a moment ago is no risk; going
/// beyond it is, and K spaces that.
const RETURN_SPEED: f64 = 3.0;

/// Past this multiple of the refused level the refusal is out of date: growth turns exponential.
const DISPROVED: f64 = 1.10;

/// Growth per second once the old level is disproved: threefold in under three seconds.
const GROWTH_PER_SECOND: f64 = 2.5;

/// The window curve of CUBIC (RFC 9438 §4.2), `W(t) = C(t-K)³ + Wmax`: quick up to just below the level that
/// was refused, slow around it, faster again beyond.
///
/// Two differences. `C` is chosen so that `K` is a given time whatever the level's size (§4.2 makes K grow
/// with the cube root of the window, which suits round trips, not 5 or 500 requests a second), so the position
/// is kept as `x = (t-K)/K`. And beyond [`DISPROVED`] growth is exponential: the cube needs as long again as it
/// took to recover before it has doubled, and a server that came back from a bad minute should not wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Curve {
    refused: f64,
    depth: f64,
    x: f64,
    disproved_for: f64,
    growth: f64,
}

impl Curve {
    /// Starts at `after`, the level a cut left, and aims for `refused`, the level it was cut from.
    pub(super) fn recovering(refused: f64, after: f64) -> Self {
        let depth = ((refused - after) / refused).clamp(0.01, 0.99);
        Self { refused, depth, x: -1.0, disproved_for: 0.0, growth: GROWTH_PER_SECOND }
    }

    /// Starts at `from` in the exponential part: nothing near this level is known to be refused.
    pub(super) fn probing(from: f64) -> Self {
        let depth = 0.1;
        let x = ((DISPROVED - 1.0) / depth).cbrt();
        Self { refused: from / DISPROVED, depth, x, disproved_for: 0.0, growth: GROWTH_PER_SECOND }
    }

    /// With the root of its exponential growth, so many times.
    pub(super) fn slower(self, times: u32) -> Self {
        Self { growth: self.growth.powf(0.5_f64.powi(times.min(4) as i32)), ..self }
    }

    /// Moves on by `seconds` in which the level was in full use, and returns the level due then.
    /// `recovery` is K, in seconds.
    pub(super) fn advance(&mut self, seconds: f64, recovery: f64) -> f64 {
        let end = ((DISPROVED - 1.0) / self.depth).cbrt();
        let speed = if self.x < 0.0 { RETURN_SPEED } else { 1.0 };
        let next = self.x + speed * seconds / recovery;
        if next < end {
            self.x = next;
            return self.refused * (1.0 + self.depth * next.powi(3));
        }
        self.disproved_for += (next - end) * recovery;
        self.x = end;
        self.refused * DISPROVED * self.growth.powf(self.disproved_for)
    }
}

#[cfg(test)]
mod tests {
    use super::Curve;

    #[test]
    fn returns_to_the_refused_level_quickly_and_lingers() {
        let mut curve = Curve::recovering(100.0, 80.0);
        let half = curve.advance(1.0, 6.0);
        assert!((97.0..98.0).contains(&half), "quick at first: {half}");
        let there = curve.advance(1.0, 6.0);
        assert!((there - 100.0).abs() < 1e-6, "{there}");
        let lingering = curve.advance(1.5, 6.0);
        assert!((100.0..100.5).contains(&lingering), "{lingering}");
    }

    #[test]
    fn leaves_a_disproved_level_behind_in_seconds() {
        let mut curve = Curve::recovering(100.0, 80.0);
        let mut seconds = 0.0;
        while curve.advance(0.1, 5.0) < 300.0 {
            seconds += 0.1;
        }
        assert!((6.0..9.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn probing_starts_where_it_is_told() {
        let mut curve = Curve::probing(50.0);
        let first = curve.advance(0.0, 5.0);
        assert!((first - 50.0).abs() < 1e-6, "{first}");
    }
}
