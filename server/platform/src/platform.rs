//! The systems that run on one data directory, from their start to their end.

use std::path::{Path, PathBuf};

use futures_util::future::try_join_all;

use crate::data_dir::DataDir;
use crate::process::{Service, stop_all};
use crate::systems::{self, Start};
use crate::{Cache, Endpoints, Error, Progress, System, Wanted};

/// Systems that run. Dropping it stops them and waits until they are gone, which blocks for
/// a second or two; in async code, [`Platform::stop`] does the same elsewhere.
#[derive(Debug)]
pub struct Platform {
    endpoints: Endpoints,
    services: Vec<Service>,
    dir: DataDir,
}

impl Platform {
    /// Starts systems on a data directory, side by side, and returns when all are ready.
    /// The directory is made if it is not there; what it holds is found again.
    ///
    /// # Errors
    /// When the directory is in use, a system cannot be got, or one does not start; the others
    /// have then been stopped.
    pub async fn start(dir: &Path, wanted: &Wanted, progress: &Progress) -> Result<Self, Error> {
        Self::start_from(&Cache::from_env()?, dir, wanted, progress).await
    }

    /// [`Platform::start`], with programs from a cache of the caller's choice.
    ///
    /// # Errors
    /// As [`Platform::start`].
    pub async fn start_from(
        cache: &Cache,
        dir: &Path,
        wanted: &Wanted,
        progress: &Progress,
    ) -> Result<Self, Error> {
        let dir = DataDir::take(dir)?;
        let each: Vec<_> = wanted
            .systems()
            .iter()
            .map(|system| start_one(cache, &dir, *system, wanted.is_throwaway(), progress))
            .collect();
        let started = try_join_all(each).await?;

        let mut platform = Self { endpoints: Endpoints::default(), services: Vec::new(), dir };
        for (service, endpoints) in started {
            platform.services.push(service);
            platform.endpoints.merge(endpoints);
        }
        platform.endpoints.write(&platform.endpoints_file())?;
        Ok(platform)
    }

    /// Where the systems are.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The file, mode 0600, that describes the endpoints while they are up; for
    /// [`crate::ENDPOINTS_ENV`] of a process that is to use them.
    #[must_use]
    pub fn endpoints_file(&self) -> PathBuf {
        self.dir.endpoints_file()
    }

    /// The ids of all processes that were started.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        self.services.iter().flat_map(Service::process_ids).collect()
    }

    /// Whether all still run.
    ///
    /// # Errors
    /// For the first that has ended by itself, with the end of its log.
    pub fn check(&mut self) -> Result<(), Error> {
        self.services.iter_mut().try_for_each(Service::check)
    }

    /// Stops all, side by side, and returns when they are gone.
    pub async fn stop(self) {
        // A panic in there has already been told; there is nothing else to do about it.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // Not there, or not ours to remove any more: the next start writes it anew.
        let _ = std::fs::remove_file(self.endpoints_file());
        stop_all(std::mem::take(&mut self.services));
    }
}

/// Gets a system and starts it.
async fn start_one(
    cache: &Cache,
    dir: &DataDir,
    system: System,
    throwaway: bool,
    progress: &Progress,
) -> Result<(Service, Endpoints), Error> {
    let programs = cache.system(system, progress).await?;
    let start = Start { programs, dir: dir.system(system)?, throwaway };
    let phase = progress.phase(system);
    let started = start_retrying(system, &start).await?;
    phase.done("ready");
    Ok(started)
}

/// Between the choice of a port and its use, another program may take it: then new ones are chosen.
async fn start_retrying(system: System, start: &Start) -> Result<(Service, Endpoints), Error> {
    for _ in 0..2 {
        match systems::start(system, start).await {
            Err(Error::Down { .. }) if start.dir.ports_were_taken() => {}
            outcome => return outcome,
        }
    }
    systems::start(system, start).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server may start it in a task of its own.
    #[test]
    fn a_start_can_be_sent_between_threads() {
        fn sendable(_: impl Send) {}
        sendable(Platform::start(Path::new("/never"), &Wanted::default(), &Progress::silent()));
        sendable(crate::with(&Wanted::default(), &[], &Progress::silent()));
    }
}
