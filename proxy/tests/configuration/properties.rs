//! x
use crate::folder::Folder;
#[test]
fn dump() {
    let folder = Folder::furnished();
    folder.certificate("other");
    folder.write("empty", "");
    folder.write("text", "hello\n");
    folder.write("damaged.crt", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    folder.write("nocert.crt", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");
    folder
        .write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n");
    folder.write("zero.key", [0; 32]);
    folder.write("short.key", "c2hvcnQ=\n");
    for f in std::fs::read_dir("/tmp/cases").unwrap() {
        let p = f.unwrap().path();
        if p.extension().is_some_and(|e| e == "yaml") {
            let out = folder.problems(&std::fs::read_to_string(&p).unwrap()).join("\n");
            std::fs::write(p.with_extension("out"), out).unwrap();
        }
    }
}
