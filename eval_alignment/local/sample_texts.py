"""What the items of the demo are about: a question, a good and a bad answer, and why people like and dislike them."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple


class Case(NamedTuple):
    """One kind of item."""

    input: str
    good: str
    """An answer that solves the problem."""
    bad: str
    """An answer that does not."""
    praise: str
    """What a person writes about the good answer."""
    complaint: str
    """What a person writes about the bad answer."""


CASES: Final[Mapping[str, Sequence[Case]]] = {
    "Support replies": (
        Case(
            "I bought a lamp three weeks ago and want to return it. Is that possible?",
            "Yes. You can return it within 30 days: print the label in your account under Orders, and the refund "
            "arrives five days after we receive the lamp.",
            "Yes, you can return it within 90 days. Please contact our support team.",
            "Names the right period and the next step.",
            "The refund period is 30 days, not 90.",
        ),
        Case(
            "My parcel has been in transit for nine days. What now?",
            "I am sorry about the wait. After seven days we send a replacement: I have ordered one, and you get the "
            "tracking number today.",
            "Your parcel is in transit. Please wait for the delivery.",
            "Solves it without another question.",
            "Repeats what the customer wrote, no help in it.",
        ),
        Case(
            "I was charged twice for order 4417.",
            "I see both charges. The second was a failed authorisation and disappears within two working days; if it "
            "does not, reply here and we refund it.",
            "Your payment was successful. Thank you for your order!",
            "Looked at the account and explains what happens.",
            "Ignores that there are two charges.",
        ),
        Case(
            "How do I delete my account?",
            "Under Settings, Privacy, choose Delete account. Invoices are kept for ten years by law, all else is "
            "gone after 30 days.",
            "You can log out of your account in the menu at the top right.",
            "Complete, and mentions the invoices.",
            "Explains how to log out, which nobody asked.",
        ),
        Case(
            "The app shows error 502 when I upload a photo.",
            "That error was ours, and it was fixed an hour ago. Please try once more; photos may have up to 20 MB.",
            "Please reinstall the app and restart your phone.",
            "Correct cause, and a limit that helps.",
            "The outage was on our side. Reinstalling changes nothing.",
        ),
        Case(
            "Can I change the delivery address of yesterday's order?",
            "It left our warehouse this morning, so we cannot. The carrier can: use Redirect in the tracking page.",
            "Yes, I have changed the address for you.",
            "Honest, and offers another way.",
            "Claims a change that is not possible any more.",
        ),
    ),
    "Code review bot": (
        Case(
            "def mean(values):\n    return sum(values) / len(values)",
            "`mean([])` raises ZeroDivisionError. Return None or raise ValueError with a message for an empty list.",
            "Looks good to me.",
            "Finds the one case that breaks.",
            "Misses the division by zero.",
        ),
        Case(
            "query = f\"SELECT * FROM users WHERE name = '{name}'\"",
            'This allows SQL injection. Bind the value: `execute("... WHERE name = ?", (name,))`.',
            "Consider renaming `query` to `sql_query` for readability.",
            "The injection is the point, and the fix is right.",
            "Talks about names and misses the injection.",
        ),
        Case(
            "for item in items:\n    if item.done:\n        items.remove(item)",
            "Removing from a list while iterating skips elements. Build a new list: "
            "`items = [i for i in items if not i.done]`.",
            "Use `while` in place of `for` to make the loop faster.",
            "Explains the bug and shows the fix.",
            "The suggested loop never ends.",
        ),
        Case(
            "def add(item, target=[]):\n    target.append(item)\n    return target",
            "The default list is shared between calls. Use `target=None` and create the list inside.",
            "Add a type hint for `item`.",
            "Knows the mutable default.",
            "A hint about types while the default is shared.",
        ),
        Case(
            'password = "hunter2"  # for tests',
            "Do not commit credentials: rotate this password and read it from the environment.",
            "Nit: move the comment to a line of its own.",
            "Asks for rotation too, which people forget.",
            "Leaves a password in the repository.",
        ),
    ),
    "Chat sessions / EN": (
        Case(
            "User: I cannot log in.\nUser: Yes, I tried the reset mail.\nUser: It never arrives.",
            "The mail went to your old address. I have sent it to the one on your invoice.\nUser: Got it, thanks!",
            "Please use the reset mail.\nUser: As I wrote, it never arrives.\nPlease use the reset mail.",
            "Solved in three turns.",
            "Goes round in circles, the user gave up.",
        ),
        Case(
            "User: Which plan do I need for 12 people?\nUser: And can two of them only read?",
            "Team, for ten editors. Readers are free on every plan.\nUser: Perfect.",
            "We have three plans: Free, Team and Enterprise.\nUser: But which one?\nPlease see our pricing page.",
            "Adds up the seats and answers both questions.",
            "Never answers which plan.",
        ),
        Case(
            "User: Cancel my subscription.\nUser: No, I do not want a discount.",
            "Cancelled. You can use it until 31 December.\nUser: Thanks.",
            "How about 20 % off?\nUser: No.\nHow about 30 % off?",
            "Respects the decision.",
            "Pushes a discount after a clear no.",
        ),
        Case(
            "User: The export misses the last column.",
            "Columns beyond 50 are hidden by default: tick All columns in the dialog.\nUser: Works.",
            "Exports are a feature of the Team plan. Anything else?\nUser: I have the Team plan.",
            "Right cause at the first try.",
            "Closes the conversation before the problem is solved.",
        ),
    ),
    "Marketing copy": (
        Case(
            "One sentence for the landing page of a budgeting app.",
            "See where your money goes, and decide where it should.",
            "The world's most revolutionary budgeting experience ever!!!",
            "Plain and true.",
            "Shouts, and promises what nobody can check.",
        ),
        Case(
            "Subject line: the winter release.",
            "Winter release: offline mode, and a faster search",
            "You won't BELIEVE what we built",
            "Names what is in it.",
            "Clickbait.",
        ),
        Case(
            "A push message about the end of a trial.",
            "Your trial ends on Friday. Your notes stay readable afterwards.",
            "LAST CHANCE! Upgrade now or lose everything!",
            "Calm, and takes the fear away.",
            "Threatens the reader.",
        ),
    ),
}
"""By queue."""

TONE_PRAISE: Final = ("Friendly without being chatty.", "Takes the customer seriously.")
TONE_COMPLAINT: Final = ("Too cold for somebody who lost money.", "No apology, although it was our mistake.")
VERDICT_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "answer_relevancy": ("The reply addresses the question.", "The reply leaves the question open."),
    "helpfulness_judge": ("Offers the customer a next step.", "I would have expected more detail and a warmer close."),
    "politeness": ("Polite wording throughout.", "Curt wording."),
    "correctness_judge": ("The comment is correct and well formatted.", "The comment misses the defect."),
    "conciseness": ("Below 60 words.", "More than 60 words."),
    "resolution_judge": ("The user confirms that it works.", "The conversation ends without a solution."),
    "frustration": ("No sign of frustration.", "The user repeats the request."),
    "brand_judge": ("Matches the style guide.", "Superlatives, which the style guide forbids."),
    "readability": ("Grade level 6.", "Grade level 11."),
}
"""By metric: its reason when it passes, and when it fails."""
