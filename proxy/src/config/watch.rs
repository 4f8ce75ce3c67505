//! When to reload: a fingerprint of the configuration file and of every file that it names.

use std::path::PathBuf;

use super::named_files::read_bounded;

/// A hash of the contents of some files.
///
/// Contents and not times, because the kubelet replaces a mounted Secret or ConfigMap by
/// swapping the symbolic link `..data`: the path stays, its time may go back, and only reading
/// through the link sees the new file. Take it BEFORE loading; a change while loading then
/// shows at the next look instead of being missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(blake3::Hash);

impl Fingerprint {
    /// Reads the files. One that is missing or unreadable counts as such, so that its coming and
    /// going are changes too.
    #[must_use]
    pub fn of(files: &[PathBuf]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for file in files {
            hasher.update(file.as_os_str().as_encoded_bytes());
            match read_bounded(file) {
                Ok(contents) => hasher.update(b"\0contents\0").update(blake3::hash(&contents).as_bytes()),
                Err(error) => hasher.update(b"\0error\0").update(error.to_string().as_bytes()),
            };
        }
        Self(hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn sees_contents_absence_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("a"), folder.path().join("b")];
        let absent = Fingerprint::of(&files);
        fs::write(&files[0], "x").unwrap();
        let one = Fingerprint::of(&files);
        assert_ne!(absent, one);
        fs::write(&files[0], "x").unwrap();
        assert_eq!(one, Fingerprint::of(&files), "written again with the same contents");
        fs::write(&files[0], "y").unwrap();
        assert_ne!(one, Fingerprint::of(&files));
        fs::remove_file(&files[0]).unwrap();
        assert_eq!(absent, Fingerprint::of(&files));
    }

    #[test]
    fn contents_moving_from_one_file_to_another_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("a"), folder.path().join("b")];
        fs::write(&files[0], "x").unwrap();
        fs::write(&files[1], "").unwrap();
        let before = Fingerprint::of(&files);
        fs::write(&files[0], "").unwrap();
        fs::write(&files[1], "x").unwrap();
        assert_ne!(before, Fingerprint::of(&files));
    }

    #[test]
    fn follows_the_kubelets_symlink_swap() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (generation, contents) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(root.join(generation)).unwrap();
            fs::write(root.join(generation).join("tls.crt"), contents).unwrap();
        }
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/tls.crt", root.join("tls.crt")).unwrap();
        let files = [root.join("tls.crt")];
        let before = Fingerprint::of(&files);
        symlink("..2", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert_ne!(before, Fingerprint::of(&files));
    }
}
