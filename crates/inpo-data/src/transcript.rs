//! Conversations written as one text, as HH-RLHF writes them: `\n\nHuman: ..\n\nAssistant: ..`.

use crate::Message;

const SPEAKERS: [(&str, &str); 2] = [("\n\nHuman:", "user"), ("\n\nAssistant:", "assistant")];
const ANSWER: &str = SPEAKERS[1].0;

/// The messages of a conversation written as text that ends where the assistant is to answer; none for any other
/// text. What is said loses the spaces around it.
#[must_use]
pub fn transcript(text: &str) -> Option<Vec<Message>> {
    let text = format!("\n\n{}", text.trim_start_matches('\n'));
    let open = text.trim_end().strip_suffix(ANSWER)?;
    if !open.starts_with(SPEAKERS[0].0) {
        return None;
    }
    let mut messages = Vec::new();
    let mut rest = open;
    while let Some((marker, role)) = SPEAKERS.iter().find(|(marker, _)| rest.starts_with(marker)) {
        let said = &rest[marker.len()..];
        let next = SPEAKERS.iter().filter_map(|(marker, _)| said.find(marker));
        let end = next.min().unwrap_or(said.len());
        messages.push(Message::new(*role, said[..end].trim()));
        rest = &said[end..];
    }
    Some(messages)
}

/// Two conversations written as text that share their beginning, as prompt and two answers: the prompt ends with the
/// last "Assistant:" that they share. None where they share none, or where they go on after the first answer.
#[must_use]
pub fn split_transcripts<'a>(first: &'a str, second: &'a str) -> Option<(&'a str, [&'a str; 2])> {
    let pairs = first.char_indices().zip(second.chars());
    let parting = pairs.take_while(|((_, a), b)| a == b).last();
    let shared = parting.map_or(0, |((place, last), _)| place + last.len_utf8());
    let end = first[..shared].rfind(ANSWER)? + ANSWER.len();
    transcript(&first[..end])?;
    let answers = [&first[end..], &second[end..]];
    let go_on = |answer: &&str| SPEAKERS.iter().any(|(marker, _)| answer.contains(marker));
    (!answers.iter().any(go_on)).then_some((&first[..end], answers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_its_turns() {
        let text =
            "\n\nHuman: hello there?\n\nAssistant: hi\n\nfriend\n\nHuman: and?\n\nAssistant:";
        let messages = [
            Message::user("hello there?"),
            Message::assistant("hi\n\nfriend"),
            Message::user("and?"),
        ];
        assert_eq!(transcript(text).unwrap(), messages);
        assert_eq!(
            transcript("Human: a\n\nAssistant: "),
            Some(vec![Message::user("a")])
        );
        for other in [
            "hello",
            "\n\nHuman: a",
            "\n\nHuman: a\n\nAssistant: b",
            "Assistant:",
            "",
        ] {
            assert_eq!(transcript(other), None, "{other:?}");
        }
    }

    /// The answers may begin alike: the prompt ends before them.
    #[test]
    fn two_texts_share_their_prompt() {
        let prompt = "\n\nHuman: hello there?\n\nAssistant:";
        let (chosen, rejected) = (
            format!("{prompt} in a box."),
            format!("{prompt} in the house."),
        );
        let split = split_transcripts(&chosen, &rejected);
        assert_eq!(split, Some((prompt, [" in a box.", " in the house."])));
        // The same text twice, and one without an answer.
        assert_eq!(
            split_transcripts(&chosen, &chosen),
            Some((prompt, [" in a box."; 2]))
        );
        assert_eq!(
            split_transcripts(&chosen, prompt),
            Some((prompt, [" in a box.", ""]))
        );
        // They part before the last answer.
        let longer = format!("{rejected}\n\nHuman: b\n\nAssistant: c");
        assert_eq!(split_transcripts(&chosen, &longer), None);
        assert_eq!(split_transcripts("in a box.", "in the house."), None);
        assert_eq!(split_transcripts("", "ü"), None);
    }
}
