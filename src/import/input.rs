use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, stdin};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::ImportError;

/// What is read from the disk at once.
const BUFFER: usize = 1 << 17;

/// The first bytes of a gzip stream (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Something to import, unpacked on the way where it is packed with gzip, whatever its name says.
pub struct Input {
    /// What messages call it.
    pub name: String,
    /// Its bytes.
    pub reader: Box<dyn BufRead + Send>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Input {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// [`ImportError::Io`].
    pub fn open(path: &Path) -> Result<Input, ImportError> {
        let name = path.display().to_string();
        let opened = if path.as_os_str() == "-" {
            Input::unpack(Box::new(BufReader::with_capacity(BUFFER, stdin())))
        } else {
            File::open(path).and_then(|file| Input::unpack(Box::new(BufReader::with_capacity(BUFFER, file))))
        };
        let reader =
            opened.map_err(|source| ImportError::Io { input: name.clone(), doing: "open", source })?;
        Ok(Input { name, reader })
    }

    /// Bytes that are there already, as from a file of that name.
    pub fn of(name: &str, bytes: impl Into<Vec<u8>>) -> Input {
        let packed = Box::new(io::Cursor::new(bytes.into()));
        let reader = Input::unpack(packed).unwrap_or_else(|_| Box::new(io::empty()));
        Input { name: name.to_owned(), reader }
    }

    fn unpack(mut packed: Box<dyn BufRead + Send>) -> io::Result<Box<dyn BufRead + Send>> {
        if packed.fill_buf()?.starts_with(&GZIP) {
            let unpacked: Box<dyn Read + Send> = Box::new(MultiGzDecoder::new(packed));
            return Ok(Box::new(BufReader::with_capacity(BUFFER, unpacked)));
        }
        Ok(packed)
    }
}
