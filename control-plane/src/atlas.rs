//! Where addresses are, by a database that the operator has: how far clients are from regions when they do not measure it.
//!
//! The database is a file in MaxMind's format, of anybody (GeoLite2-City, DB-IP City Lite, …), read once into memory. Addresses
//! are looked up and forgotten.

use guildhall_fleet::{Coordinates, Reach, RegionId};
use maxminddb::{LookupResult, Reader, WithinOptions};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

#[cfg(test)]
pub mod fixture;

/// It is kept in memory. The largest city databases take 200 MB.
const MAX_BYTES: u64 = 1 << 30;

/// How many of its first networks are asked for a location at the start. City databases have one for nearly every network.
const SAMPLE: usize = 10_000;

pub struct Atlas {
    database: Reader<Vec<u8>>,
    regions: Vec<(RegionId, Coordinates)>,
}

/// Why there is no atlas, as a sentence for who named the file.
#[derive(Debug, thiserror::Error)]
pub enum AtlasError {
    #[error("The address database {} cannot be read: {reason}.", path.display())]
    Unreadable { path: PathBuf, reason: io::Error },
    #[error("The address database {} is larger than {MAX_BYTES} bytes.", path.display())]
    TooLarge { path: PathBuf },
    #[error("The address database {} is not in MaxMind's format: {reason}.", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "The address database {} is of the kind {kind:?} and does not say where addresses are: one with latitudes and longitudes is \
         needed, GeoLite2-City for example.",
        path.display()
    )]
    NoLocations { path: PathBuf, kind: String },
}

/// What we read of an entry.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    location: Option<Point>,
}

#[derive(Deserialize)]
struct Point {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl Atlas {
    /// Reads the file. `regions` are those to which distances are estimated.
    pub fn open(path: &Path, regions: Vec<(RegionId, Coordinates)>) -> Result<Self, AtlasError> {
        let unreadable = |reason| AtlasError::Unreadable { path: path.to_owned(), reason };
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(AtlasError::TooLarge { path: path.to_owned() });
        }
        let damaged = |reason: maxminddb::MaxMindDbError| {
            let reason = reason.to_string().trim_end_matches('.').to_owned();
            AtlasError::Damaged { path: path.to_owned(), reason }
        };
        let database = Reader::from_source(bytes).map_err(damaged)?;
        let mut networks = database.networks(WithinOptions::default()).map_err(damaged)?.take(SAMPLE);
        if !networks.any(|network| network.is_ok_and(|network| location(&network).is_some())) {
            let kind = database.metadata().database_type.clone();
            return Err(AtlasError::NoLocations { path: path.to_owned(), kind });
        }
        Ok(Self { database, regions })
    }

    /// Nothing of an address that the database does not place: private ones, for example.
    pub fn reach(&self, address: IpAddr) -> Reach {
        let found = self.database.lookup(address.to_canonical()).ok().and_then(|found| location(&found));
        let times =
            found.into_iter().flat_map(|at| self.regions.iter().map(move |(name, place)| (name.clone(), place.rtt_ms(at))));
        Reach::estimated(times)
    }
}

fn location(found: &LookupResult<'_, Vec<u8>>) -> Option<Coordinates> {
    let Point { latitude, longitude } = found.decode::<Entry>().ok()??.location?;
    Coordinates::new(latitude?, longitude?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixture::database;

    const AMSTERDAM: (f64, f64) = (52.4, 4.9);
    const SYDNEY: (f64, f64) = (-33.9, 151.2);

    fn regions() -> Vec<(RegionId, Coordinates)> {
        [("eu", "52.4/4.9"), ("us", "39.0/-77.5")].map(|(name, at)| (name.parse().unwrap(), at.parse().unwrap())).into()
    }

    fn open(bytes: &[u8]) -> Result<Atlas, AtlasError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("city.mmdb");
        std::fs::write(&path, bytes).unwrap();
        Atlas::open(&path, regions())
    }

    #[test]
    fn an_address_is_as_far_from_regions_as_the_database_places_it() {
        let networks = [("192.0.2.0/24", Some(AMSTERDAM)), ("2001:db8::/32", Some(SYDNEY)), ("198.51.100.0/24", None)];
        let atlas = open(&database("Test-City", &networks)).unwrap();
        let (eu, us) = (&"eu".parse().unwrap(), &"us".parse().unwrap());
        let reach = |address: &str| atlas.reach(address.parse().unwrap());
        let dutch = reach("192.0.2.77");
        assert!(dutch.is_estimated() && dutch.to(eu) == Some(10) && (90..140).contains(&dutch.to(us).unwrap()), "{dutch:?}");
        assert_eq!(reach("::ffff:192.0.2.77"), dutch);
        let australian = reach("2001:db8:7::1");
        assert!(australian.to(eu).unwrap() > 250 && australian.to(us).unwrap() > 250, "{australian:?}");
        for nowhere in ["192.0.3.1", "127.0.0.1", "::1", "2001:db9::1", "198.51.100.1"] {
            assert_eq!(reach(nowhere), Reach::estimated([]), "{nowhere}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_of_locations_is_refused_with_a_sentence() {
        let refused = |bytes: &[u8]| open(bytes).err().expect("it is refused").to_string();
        let whole = database("Test-City", &[("192.0.2.0/24", Some(AMSTERDAM))]);
        for part in [&b""[..], b"nonsense", &whole[..whole.len() / 2], &whole[..whole.len() - 1]] {
            let sentence = refused(part);
            assert!(sentence.contains("is not in MaxMind's format: ") && sentence.ends_with('.'), "{sentence}");
        }
        let countries = refused(&database("Test-Country", &[("192.0.2.0/24", None)]));
        assert!(countries.contains("\"Test-Country\" and does not say where"), "{countries}");
        let nowhere = refused(&database("Test-City", &[("192.0.2.0/24", Some((95.0, 0.0)))]));
        assert!(nowhere.contains("does not say where"), "{nowhere}");
        let missing = Atlas::open(Path::new("/nonexistent/city.mmdb"), regions()).err().unwrap().to_string();
        assert!(missing.starts_with("The address database /nonexistent/city.mmdb cannot be read: "), "{missing}");
    }

    #[test]
    fn a_damaged_entry_says_nothing() {
        let whole = database("Test-City", &[("192.0.2.0/24", Some(AMSTERDAM)), ("198.51.100.0/24", Some(SYDNEY))]);
        let sound = open(&whole).unwrap();
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            // Whatever is wrong with it, it is refused, or answers something.
            match open(&bytes) {
                Ok(atlas) => assert!(atlas.reach("192.0.2.1".parse().unwrap()).farthest() <= Some(1000)),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 50 && sound.reach("198.51.100.1".parse().unwrap()).is_known(), "{refused}");
    }
}
