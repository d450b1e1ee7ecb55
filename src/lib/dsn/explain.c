/* explain: the enhanced status codes (RFC 3463 and the IANA registry) in words for a person.
 * The first entry that matches wins; a "*" stands for any number. */
#include "dsn/dsn.h"

struct entry {
    const char *status; /* class.subject.detail */
    const char *what, *advice;
};

static const struct entry table[] = {
    { "4.1.*", "The mail system there does not take mail for this address now.",
      "Try again later." },
    { "4.2.2", "The mailbox is full.",
      "Ask the person to make room, then send again." },
    { "4.7.*", "The mail system there does not take this mail now.",
      "Try again later; its own words below may say more." },
    { "*.1.1", "The mail system there says that it has no such address.",
      "Check the address for typing errors; ask the person in another way." },
    { "*.1.2", "There is no mail domain of that name.",
      "Check the part behind the @ for typing errors." },
    { "*.1.3", "The address is not written in a form that the mail system there accepts.",
      "Check the address for typing errors." },
    { "*.1.6", "The mailbox has moved and left no new address.",
      "Ask the person for the new address." },
    { "*.1.8", "The mail system there does not accept your own address as a sender.",
      "Check how your mail program is set up, or ask your administrator." },
    { "*.1.10", "The domain says of itself that it takes no mail.",
      "Check the part behind the @; the address cannot receive mail." },
    { "*.2.1", "The mailbox is switched off or does not take mail now.",
      "Ask the person in another way." },
    { "*.2.2", "The mailbox is full.",
      "Ask the person to make room, then send again." },
    { "*.2.3", "The message is larger than the mailbox takes.",
      "Send it in smaller parts, or put the large files where they can be fetched." },
    { "*.3.4", "The message is larger than the mail system there takes.",
      "Send it in smaller parts, or put the large files where they can be fetched." },
    { "*.3.*", "The mail system there has a fault of its own or is full.",
      "Try again later; the fault is at the recipient's side." },
    { "*.4.1", "No mail server of that domain answers.",
      "Check the part behind the @; if it is right, try again later." },
    { "*.4.2", "The connection to the mail system there broke off.",
      "Try again later." },
    { "*.4.3", "The names in the address could not be looked up.",
      "Check the part behind the @; if it is right, try again later." },
    { "*.4.4", "No mail server of that domain can be found: those it names do not exist or have "
               "no address.",
      "Check the part behind the @; if it is right, tell the people there in another way." },
    { "*.4.6", "The message went in circles between mail systems.",
      "Tell your administrator; the address may be forwarded to itself." },
    { "*.4.7", "The message could not be handed over in all the time it may wait.",
      "Try again later, or ask the person in another way." },
    { "*.4.*", "The mail system there could not be reached.",
      "Try again later." },
    { "*.5.3", "There were more recipients than the mail system there takes at once.",
      "Send to fewer recipients at a time." },
    { "*.5.*", "The mail system there and ours did not understand one another.",
      "Tell your administrator." },
    { "*.6.3", "The message needs a conversion that is not possible.",
      "Send it in a simpler form." },
    { "*.6.7", "The address or the message has international characters, and the mail system there "
             "does not take them.",
      "Use an address without such characters, if there is one." },
    { "*.6.*", "The mail system there does not accept the form of the content.",
      "Send it in a simpler form." },
    { "*.7.1", "The mail system there refuses this mail by its rules.",
      "Its own words below may say more; ask the person, or the administrator there." },
    { "*.7.*", "The mail system there refuses this mail for reasons of security or policy.",
      "Its own words below may say more; ask your administrator." },
    { "*.*.*", "The mail system there does not take it.",
      "Its own words below may say more." },
};

static bool part_fits(struct span *pattern, struct span *text)
{
    size_t p = span_find(*pattern, '.'), t = span_find(*text, '.');
    struct span want = span_to(*pattern, p), got = span_to(*text, t);
    *pattern = span_from(*pattern, p + 1);
    *text = span_from(*text, t + 1);
    return span_eq(want, SPAN("*")) || span_eq(want, got);
}

struct dsn_words dsn_explain(struct span status, bool delayed)
{
    for (size_t i = 0;; i++) { /* the last entry fits everything */
        struct span pattern = span_str(table[i].status), text = status;
        int fitting = 0;
        for (int part = 0; part < 3; part++)
            fitting += part_fits(&pattern, &text);
        if (fitting < 3)
            continue;
        return (struct dsn_words){ table[i].what,
                                   delayed ? "You need not do anything; we go on trying."
                                           : table[i].advice };
    }
}
