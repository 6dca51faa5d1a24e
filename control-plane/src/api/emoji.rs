//! What counts as an emoji in a path: the grammar of Unicode's emoji sequences (UTS #51) over the characters that are emojis.
//!
//! A grammar, not a list: sequences that no font draws yet pass, text does not.

/// The longest sequence in use has ten characters; a flag of tags has seven.
const CHARACTERS: usize = 16;

const VARIATION: char = '\u{FE0F}';
const KEYCAP: char = '\u{20E3}';
const JOINER: char = '\u{200D}';

/// Emoji characters below the blocks that are nothing else.
const SCATTERED: &[(u32, u32)] = &[
    (0xA9, 0xA9),
    (0xAE, 0xAE),
    (0x203C, 0x203C),
    (0x2049, 0x2049),
    (0x2122, 0x2122),
    (0x2139, 0x2139),
    (0x2194, 0x2199),
    (0x21A9, 0x21AA),
    (0x231A, 0x231B),
    (0x2328, 0x2328),
    (0x23CF, 0x23CF),
    (0x23E9, 0x23F3),
    (0x23F8, 0x23FA),
    (0x24C2, 0x24C2),
    (0x25AA, 0x25AB),
    (0x25B6, 0x25B6),
    (0x25C0, 0x25C0),
    (0x25FB, 0x25FE),
    (0x2600, 0x2604),
    (0x260E, 0x260E),
    (0x2611, 0x2611),
    (0x2614, 0x2615),
    (0x2618, 0x2618),
    (0x261D, 0x261D),
    (0x2620, 0x2620),
    (0x2622, 0x2623),
    (0x2626, 0x2626),
    (0x262A, 0x262A),
    (0x262E, 0x262F),
    (0x2638, 0x263A),
    (0x2640, 0x2640),
    (0x2642, 0x2642),
    (0x2648, 0x2653),
    (0x265F, 0x2660),
    (0x2663, 0x2663),
    (0x2665, 0x2666),
    (0x2668, 0x2668),
    (0x267B, 0x267B),
    (0x267E, 0x267F),
    (0x2692, 0x2697),
    (0x2699, 0x2699),
    (0x269B, 0x269C),
    (0x26A0, 0x26A1),
    (0x26A7, 0x26A7),
    (0x26AA, 0x26AB),
    (0x26B0, 0x26B1),
    (0x26BD, 0x26BE),
    (0x26C4, 0x26C5),
    (0x26C8, 0x26C8),
    (0x26CE, 0x26CF),
    (0x26D1, 0x26D1),
    (0x26D3, 0x26D4),
    (0x26E9, 0x26EA),
    (0x26F0, 0x26F5),
    (0x26F7, 0x26FA),
    (0x26FD, 0x26FD),
    (0x2702, 0x2702),
    (0x2705, 0x2705),
    (0x2708, 0x270D),
    (0x270F, 0x270F),
    (0x2712, 0x2712),
    (0x2714, 0x2714),
    (0x2716, 0x2716),
    (0x271D, 0x271D),
    (0x2721, 0x2721),
    (0x2728, 0x2728),
    (0x2733, 0x2734),
    (0x2744, 0x2744),
    (0x2747, 0x2747),
    (0x274C, 0x274C),
    (0x274E, 0x274E),
    (0x2753, 0x2755),
    (0x2757, 0x2757),
    (0x2763, 0x2764),
    (0x2795, 0x2797),
    (0x27A1, 0x27A1),
    (0x27B0, 0x27B0),
    (0x27BF, 0x27BF),
    (0x2934, 0x2935),
    (0x2B05, 0x2B07),
    (0x2B1B, 0x2B1C),
    (0x2B50, 0x2B50),
    (0x2B55, 0x2B55),
    (0x3030, 0x3030),
    (0x303D, 0x303D),
    (0x3297, 0x3297),
    (0x3299, 0x3299),
    (0x1F004, 0x1F004),
    (0x1F0CF, 0x1F0CF),
    (0x1F170, 0x1F171),
    (0x1F17E, 0x1F17F),
    (0x1F18E, 0x1F18E),
    (0x1F191, 0x1F19A),
    (0x1F201, 0x1F202),
    (0x1F21A, 0x1F21A),
    (0x1F22F, 0x1F22F),
    (0x1F232, 0x1F23A),
    (0x1F250, 0x1F251),
    (0x1F300, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F7E0, 0x1F7F0),
    (0x1F900, 0x1F9FF),
    (0x1FA70, 0x1FAFF),
];

fn is_emoji_character(character: char) -> bool {
    let code = u32::from(character);
    SCATTERED.iter().any(|(first, last)| (*first..=*last).contains(&code))
}

fn is_skin_tone(character: char) -> bool {
    ('\u{1F3FB}'..='\u{1F3FF}').contains(&character)
}

fn is_regional(character: char) -> bool {
    ('\u{1F1E6}'..='\u{1F1FF}').contains(&character)
}

fn is_tag(character: char) -> bool {
    ('\u{E0020}'..='\u{E007F}').contains(&character)
}

/// Whether the text is exactly one Unicode emoji.
pub fn is_unicode(text: &str) -> bool {
    let characters: Vec<char> = text.chars().take(CHARACTERS + 1).collect();
    if characters.len() > CHARACTERS {
        return false;
    }
    match characters.as_slice() {
        [first, second] if is_regional(*first) => is_regional(*second),
        [key, VARIATION, KEYCAP] | [key, KEYCAP] => matches!(key, '0'..='9' | '#' | '*'),
        characters => characters.split(|character| *character == JOINER).all(is_element),
    }
}

/// One part of a joined sequence: a character, how it is drawn, and for some flags whose they are.
fn is_element(element: &[char]) -> bool {
    let Some((first, rest)) = element.split_first() else { return false };
    let rest = match rest {
        [how, rest @ ..] if *how == VARIATION || is_skin_tone(*how) => rest,
        rest => rest,
    };
    is_emoji_character(*first) && rest.iter().all(|character| is_tag(*character))
}

#[cfg(test)]
mod tests {
    use super::is_unicode;

    #[test]
    fn every_kind_of_emoji_is_known() {
        let scotland = "\u{1F3F4}\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}";
        for emoji in ["👍", "👍🏽", "❤", "❤️", "🇩🇪", "1️⃣", "#⃣", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🤷🏻‍♀️", "👩🏽‍❤️‍💋‍👨🏿", "©", "🫠", scotland]
        {
            assert!(is_unicode(emoji), "{emoji}");
        }
    }

    #[test]
    fn text_is_no_emoji() {
        let long = "👍\u{200D}".repeat(30) + "👍";
        for text in
            ["", "a", "1", "👍👍", "👍a", "party:123", "🇩", "🇩🇪🇩🇪", "\u{200D}", "👍\u{200D}", "\u{FE0F}", "é", "中", &long]
        {
            assert!(!is_unicode(text), "{text:?}");
        }
    }
}
