//! Taking records of 200 bytes and making them durable, beside what the disk alone gives: one write and one fdatasync of
//! as many bytes, to a file that is begun anew as often as a segment. And reading them in order.
//!
//! The directory is below `TMPDIR`; on a tmpfs the figures mean nothing.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_events::Epoch;
use weir_spool::{Directory, Entry, Policy, Position, Settings, Spool};

const PAYLOAD: [u8; 200] = [b'x'; 200];
/// With its head.
const FRAME: usize = 241;
const SETTINGS: Settings = Settings {
    segment_bytes: 4 << 20,
    quota_bytes: 1 << 30,
    policy: Policy::Block,
    record_bytes_max: 64 << 10,
};

fn spool(path: &Path) -> Spool<Directory> {
    let disk = Directory::open(path).expect("a directory");
    Spool::open(disk, SETTINGS, Epoch::from_bytes([1; 16])).expect("an empty spool").0
}

fn take(spool: &mut Spool<Directory>, records: usize) {
    for _ in 0..records {
        let position = Position { file: 1, offset: spool.next_seq() };
        let entry = Entry { kind: 0, at: 1_700_000_000_000_000, position, payload: &PAYLOAD };
        spool.append(&entry).expect("room");
    }
    spool.commit().expect("a disk that works");
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for records in [1, 50, 1000] {
        group.throughput(Throughput::Elements(records as u64));
        let place = tempfile::tempdir().expect("a directory");
        let mut spool = spool(&place.path().join("spool"));
        group.bench_function(BenchmarkId::new("spool", records), |bencher| {
            bencher.iter(|| {
                take(&mut spool, records);
                spool.release(spool.durable()).expect("a disk that works");
            });
        });
        let bytes = vec![b'x'; records * FRAME];
        let path = place.path().join("bare");
        let (mut file, mut offset) = (File::create(&path).expect("a file"), 0);
        group.bench_function(BenchmarkId::new("bare", records), |bencher| {
            bencher.iter(|| {
                if offset > SETTINGS.segment_bytes {
                    std::fs::remove_file(&path).expect("a file");
                    (file, offset) = (File::create(&path).expect("a file"), 0);
                }
                file.write_all_at(&bytes, offset).expect("a disk that works");
                file.sync_data().expect("a disk that works");
                offset += bytes.len() as u64;
            });
        });
    }
}

fn read(criterion: &mut Criterion) {
    const RECORDS: u64 = 100_000;
    let place = tempfile::tempdir().expect("a directory");
    let mut spool = spool(&place.path().join("spool"));
    for _ in 0..RECORDS / 1000 {
        take(&mut spool, 1000);
    }
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("in order", |bencher| {
        bencher.iter(|| {
            let mut seq = 1;
            while let Some(item) = spool.read(seq).expect("a disk that works") {
                seq = black_box(&item).next();
            }
            assert_eq!(seq, RECORDS + 1);
        });
    });
}

criterion_group!(benches, append, read);
criterion_main!(benches);
