//! Facts from reels, aligned and compared.
