//! Where on Earth something is, and how long packets take from one place to another when nobody has measured it.

use std::str::FromStr;

/// Mean radius of the Earth (IUGG).
const EARTH_KM: f64 = 6_371.0;

/// How far light gets in fibre, whose index of refraction is 1.5, in a millisecond: two thirds of 299.8 km.
const FIBRE_KM_PER_MS: f64 = 200.0;

/// Cables bend around mountains and seas and go by way of exchanges. Between well-connected places they are 1.3 to 2 times as
/// long as the great circle, more between continents with few cables.
const PATH_FACTOR: f64 = 1.6;

/// What the networks at both ends add, in milliseconds: a home's access network, mostly.
const ACCESS_MS: f64 = 10.0;

/// A point on the surface, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    latitude: f64,
    longitude: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a place is given as LATITUDE/LONGITUDE in degrees, for example 52.4/4.9 or -33.9/151.2")]
pub struct BadCoordinates;

impl Coordinates {
    /// `None`: there is no such place.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let is_there = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        is_there.then_some(Self { latitude, longitude })
    }

    /// By the great circle (haversine).
    fn distance_km(self, other: Self) -> f64 {
        let (north, other_north) = (self.latitude.to_radians(), other.latitude.to_radians());
        let (up, along) = (other_north - north, (other.longitude - self.longitude).to_radians());
        let chord = (up / 2.0).sin().powi(2) + north.cos() * other_north.cos() * (along / 2.0).sin().powi(2);
        2.0 * EARTH_KM * chord.sqrt().min(1.0).asin()
    }

    /// An estimate of the round-trip time, in milliseconds: there and back by fibre.
    pub fn rtt_ms(self, other: Self) -> u16 {
        (ACCESS_MS + 2.0 * self.distance_km(other) / FIBRE_KM_PER_MS * PATH_FACTOR).round() as u16
    }
}

impl FromStr for Coordinates {
    type Err = BadCoordinates;

    fn from_str(text: &str) -> Result<Self, BadCoordinates> {
        let (latitude, longitude) = text.split_once('/').ok_or(BadCoordinates)?;
        let degrees = |text: &str| text.trim().parse().map_err(|_| BadCoordinates);
        Self::new(degrees(latitude)?, degrees(longitude)?).ok_or(BadCoordinates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_near_what_is_measured_between_well_connected_places() {
        let at = |text: &str| text.parse::<Coordinates>().unwrap();
        let (frankfurt, new_york, singapore, sydney) = (at("50.1/8.7"), at("40.7/-74.0"), at("1.35/103.8"), at("-33.9/151.2"));
        // What public tables of measurements say, and how far off an estimate may be: 30 %.
        for (one, other, measured) in [(frankfurt, new_york, 85), (frankfurt, singapore, 160), (singapore, sydney, 95)] {
            let estimate = i32::from(one.rtt_ms(other));
            assert_eq!(one.rtt_ms(other), other.rtt_ms(one));
            assert!((estimate - measured).abs() * 100 <= measured * 30, "{estimate} for {measured}");
        }
        assert_eq!(sydney.rtt_ms(sydney), ACCESS_MS as u16);
        let around = at("0/179.9").distance_km(at("0/-179.9"));
        assert!(around < 30.0, "the date line is no border: {around}");
        let half = at("90/0").distance_km(at("-90/0"));
        assert!((half - 20_015.0).abs() < 1.0, "{half}");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "52.4", "52.4,4.9", "91/0", "0/181", "NaN/0", "0/inf", "a/b"] {
            assert_eq!(text.parse::<Coordinates>(), Err(BadCoordinates), "{text}");
        }
        assert_eq!(" -90 / 180 ".parse::<Coordinates>(), Ok(Coordinates { latitude: -90.0, longitude: 180.0 }));
    }
}
