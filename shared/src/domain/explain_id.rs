//! Explanations in Bahasa Indonesia.

use super::{Column, Reason};

/// The row, the column and what was found in it.
pub(super) fn place(sheet_row: u32, column: Option<Column>, column_name: &str, found: &str) -> String {
    match (column, found) {
        (None, _) => format!("Baris {sheet_row}"),
        (Some(_), "") => format!("Baris {sheet_row}, kolom \"{column_name}\""),
        (Some(_), found) => format!("Baris {sheet_row}, kolom \"{column_name}\", tertulis \"{found}\""),
    }
}

/// What is wrong and what to do about it.
pub(super) fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::NikMissing => {
            "NIK belum diisi. Ketik 16 angka NIK sesuai KTP di baris ini; NIK tidak diambil dari baris di atasnya."
        }
        Reason::NikNot16Digits => {
            "ini bukan NIK yang tepat 16 angka. Ketik ulang sesuai KTP, angka saja, misalnya 3171234567890001 \
             (huruf O bukan angka nol)."
        }
        Reason::NikLostPrecision => {
            "NIK ini tersimpan sebagai bilangan, padahal spreadsheet hanya menyimpan sekitar 15 angka, sehingga \
             bisa berubah menjadi NIK orang lain. Ubah format kolom menjadi teks biasa, lalu ketik ulang 16 angka \
             sesuai KTP."
        }
        Reason::NikSeveral => {
            "ada dua NIK yang berbeda dalam satu sel. Sisakan satu saja, dan tulis NIK lainnya di baris tersendiri."
        }
        Reason::PhoneMissing => {
            "nomor WhatsApp belum diisi. Ketik nomornya, misalnya 081234567890; selama belum diisi, nomor yang \
             sudah tercatat tidak diubah."
        }
        Reason::PhoneInvalid => {
            "ini tidak dapat dibaca sebagai nomor telepon tanpa menebak: mungkin angkanya kurang atau lebih, ada \
             huruf, ada angka yang disamarkan, atau ada desimal. Ketik nomor lengkap sebagai teks, misalnya \
             081234567890, atau +6591234567 untuk nomor luar negeri."
        }
        Reason::PhoneNotMobile => {
            "ini nomor telepon rumah, nomor pendek, atau pusat layanan, bukan nomor ponsel. Ketik nomor ponsel, \
             misalnya 081234567890."
        }
        Reason::PhoneSeveral => {
            "ada lebih dari satu nomor dalam sel ini dan tidak jelas mana yang benar. Sisakan hanya nomor WhatsApp \
             yang dipakai."
        }
        Reason::PhoneNote => {
            "ada catatan di samping nomor. Sisakan hanya nomor WhatsApp milik orang yang bersangkutan, dan \
             pindahkan catatannya ke kolom lain."
        }
        Reason::CellError => {
            "sel ini berisi kesalahan spreadsheet, bukan nilai. Perbaiki rumusnya, atau ketik nilainya sebagai teks \
             biasa."
        }
        Reason::CellTooLong => {
            "sel ini berisi lebih dari 32.767 karakter, jadi isinya tidak dibaca. Sisakan hanya nilainya di sini, \
             dan pindahkan selebihnya ke tempat lain."
        }
        Reason::DateUnreadable => {
            "ini tidak dapat dibaca sebagai tanggal. Tulis tanggal, bulan, dan tahun empat angka, misalnya \
             23/11/2026 atau 2026-11-23."
        }
        Reason::ConflictingRows => {
            "NIK ini ada di beberapa baris bertanggal sama dengan nomor yang berbeda, dan tidak jelas mana yang \
             benar. Sisakan hanya baris dengan nomor yang benar."
        }
        Reason::RetriesExhausted => {
            "server FHIR selalu gagal memproses baris ini setiap kali dicoba. Setelah server pulih, kirim ulang \
             (replay) dead letter ini; lembar data tidak perlu diubah."
        }
        Reason::AmbiguousPatient => {
            "ada beberapa data Patient dengan NIK ini, jadi tidak ada yang diubah. Gabungkan data ganda itu atau \
             perbaiki NIK-nya di server FHIR, lalu kirim ulang (replay) dead letter ini."
        }
        Reason::PatientInactive => {
            "data Patient ini tidak aktif atau sudah digantikan data lain, jadi tidak diubah. Perbaiki data Patient \
             untuk NIK ini di server FHIR, lalu kirim ulang (replay) dead letter ini."
        }
        Reason::PatientGone => {
            "data Patient terhapus saat baris ini diproses. Jika seharusnya masih ada, pulihkan di server FHIR, \
             lalu kirim ulang (replay) dead letter ini."
        }
        Reason::ResourceIncomplete => {
            "server FHIR hanya menampilkan sebagian data Patient ini atau menyamarkannya, dan menulisnya kembali \
             akan menghilangkan data. Beri layanan ini hak membaca data Patient secara utuh, lalu kirim ulang \
             (replay) dead letter ini."
        }
        Reason::ResourceTooLarge => {
            "jawaban server FHIR tentang data Patient ini lebih besar daripada yang dapat dibaca, jadi tidak ada yang \
             diubah. Perkecil data itu di server FHIR, biasanya dengan mengeluarkan foto yang tertanam, lalu kirim \
             ulang (replay) dead letter ini."
        }
        Reason::WriteConflict => {
            "pihak lain terus mengubah data Patient ini ketika nomornya akan ditulis. Kirim ulang (replay) dead \
             letter ini setelah perubahan itu selesai."
        }
        Reason::RejectedByServer => {
            "server FHIR menolak baris ini. Jawabannya ada di dead letter; biasanya data Patient melanggar aturan \
             server atau aksesnya tidak diizinkan. Perbaiki hal itu, lalu kirim ulang (replay) dead letter ini."
        }
        Reason::PoisonMessage => {
            "program berhenti beberapa kali ketika memproses baris ini, jadi baris ini disisihkan. Laporkan kepada \
             pengembang beserta nomor run dan barisnya; kirim ulang (replay) dead letter ini dengan versi yang \
             sudah diperbaiki."
        }
    }
}
