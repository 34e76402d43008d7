//! Statement text as it may be kept: values of secret options are replaced.

/// Words that make an option's value a secret, wherever they stand in its key.
const SECRET_WORDS: [&str; 5] = ["password", "secret", "token", "access.key", "credential"];

/// Replaces the quoted value behind every key that names a secret.
pub(crate) fn statement(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut result = String::with_capacity(text.len());
    let mut copied = 0;
    let mut from = 0;
    while let Some((at, word)) =
        SECRET_WORDS.iter().filter_map(|word| lower[from..].find(word).map(|i| (from + i, *word))).min()
    {
        from = at + word.len();
        let Some((start, end)) = quoted_value(text, from) else { continue };
        result.push_str(&text[copied..start]);
        result.push_str("***");
        copied = end;
        from = end;
    }
    result.push_str(&text[copied..]);
    result
}

/// Whether an option's value must never be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// The inside of the quoted value that follows a key's end: the rest of the key, its quote, `=` or blanks may come between.
fn quoted_value(text: &str, from: usize) -> Option<(usize, usize)> {
    let rest = &text[from..];
    let key_end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-'))).unwrap_or(rest.len());
    let mut chars = rest[key_end..].char_indices().peekable();
    if let Some((_, '\'' | '"' | '`')) = chars.peek() {
        chars.next();
    }
    let (open, quote) = chars.find(|(_, c)| !(c.is_whitespace() || *c == '='))?;
    if quote != '\'' && quote != '"' {
        return None;
    }
    let start = from + key_end + open + 1;
    let mut end = start;
    loop {
        let at = text[end..].find([quote, '\\'])?;
        end += at;
        let rest = &text[end..];
        if !rest.starts_with('\\') && !rest[1..].starts_with(quote) {
            return Some((start, end));
        }
        // A doubled quote or a backslash takes the next character with it.
        end += 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_replaced_and_the_rest_stays() {
        let rows = [
            ("OPTIONS (password 'x y', user 'u')", "OPTIONS (password '***', user 'u')"),
            ("OPTIONS ('fs.s3a.secret.key' = \"k\")", "OPTIONS ('fs.s3a.secret.key' = \"***\")"),
            ("OPTIONS (password 'x''y', user 'u')", "OPTIONS (password '***', user 'u')"),
            ("OPTIONS (password 'x\\'y', user 'u')", "OPTIONS (password '***', user 'u')"),
            ("SELECT password FROM t", "SELECT password FROM t"),
            ("SELECT 1", "SELECT 1"),
        ];
        for (input, expect) in rows {
            assert_eq!(statement(input), expect);
        }
    }
}
