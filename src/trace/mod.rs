//! The file format `.reel`: framing, codec, reader and writer. Only this module knows bytes.
