//! From a byte offset to what a person reads: line, column, and the line with a caret under it.

/// Where an offset stands; both count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// Width of the text shown on each side of the place, in characters.
const AROUND: usize = 60;

/// Line and column of byte `offset` of `text`.
pub fn place(text: &str, offset: usize) -> Place {
    let before = &text[..boundary(text, offset)];
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

/// As psql shows an error's place:
///
/// ```text
/// LINE 2: FROM flihgts
///              ^
/// ```
///
/// A long line is cut to what stands around the place.
pub fn snippet(text: &str, offset: usize) -> String {
    let offset = boundary(text, offset);
    let Place { line, column } = place(text, offset);
    let start = text[..offset].rfind('\n').map_or(0, |n| n + 1);
    let end = text[offset..].find('\n').map_or(text.len(), |n| offset + n);
    let chars: Vec<char> =
        text[start..end].trim_end_matches('\r').chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let at = (column - 1).min(chars.len());
    let from = at.saturating_sub(AROUND);
    let to = (at + AROUND).min(chars.len());
    let shown: String = chars[from..to].iter().collect();
    let head = format!("LINE {line}: {}", if from > 0 { "..." } else { "" });
    let tail = if to < chars.len() { "..." } else { "" };
    let caret = " ".repeat(head.chars().count() + at - from);
    format!("{head}{shown}{tail}\n{caret}^")
}

fn boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
