//! Random texts that people read and type: invite codes, the first password and the tokens of webhooks.

/// Eight of 62 characters: 47 bits, so that guessing at the rate limit takes longer than any invite lives.
const INVITE_ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const INVITE_CHARACTERS: usize = 8;
/// Without letters and digits that look alike; 20 of these are 99 bits.
const PASSWORD_ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
const PASSWORD_CHARACTERS: usize = 20;
/// 68 characters, and just these: libraries recognize the address of a webhook by that.
const WEBHOOK_ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const WEBHOOK_CHARACTERS: usize = 68;

pub fn invite_code() -> String {
    random_text(INVITE_ALPHABET, INVITE_CHARACTERS)
}

pub fn password() -> String {
    random_text(PASSWORD_ALPHABET, PASSWORD_CHARACTERS)
}

pub fn webhook_token() -> String {
    random_text(WEBHOOK_ALPHABET, WEBHOOK_CHARACTERS)
}

/// Draws characters uniformly.
fn random_text(alphabet: &[u8], length: usize) -> String {
    // Bytes above the largest multiple would make the first characters likelier; they are thrown away.
    let fair = 256 / alphabet.len() * alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
        let drawn = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        text.extend(drawn.map(|byte| char::from(alphabet[byte % alphabet.len()])).take(length - text.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{INVITE_ALPHABET, random_text};

    #[test]
    fn every_character_is_drawn_about_equally_often() {
        let text = random_text(INVITE_ALPHABET, 62_000);
        assert_eq!(text.len(), 62_000);
        for character in INVITE_ALPHABET {
            let count = text.bytes().filter(|byte| byte == character).count();
            // A thousand each; ten standard deviations are 316.
            assert!((684..=1316).contains(&count), "{} was drawn {count} times", char::from(*character));
        }
    }
}
