"""Words and phrases of an outdoor shop, its customers and its agent (see :mod:`phrases`)."""

from __future__ import annotations


def _each(words: str) -> list[str]:
    return words.split()


FIRST = _each(
    "Aisha Amara Anders Anna Bruno Carlos Chen Clara Daniel Dmitri Elena Emil Fatima Felix Freya "
    "Gina Hana Hugo Ines Isaac Jana Jonas Julia Kofi Lars Leila Liam Lucia Maria Mateo Mei Mia "
    "Nadia Noah Nora Olga Omar Paula Pedro Priya Rosa Samir Sofia Tariq Tomas Vera Yara Yusuf"
)
LAST = _each(
    "Abbas Ahmed Andersen Barnes Becker Bianchi Brown Castro Costa Dubois Duarte Evans Fischer "
    "Garcia Haddad Hansen Ivanov Jensen Kaya Khan Kim Kovacs Larsen Lopez Meyer Moreau Nguyen "
    "Novak Okafor Patel Petrov Rossi Sanchez Santos Schmidt Silva Singh Tanaka Torres Wagner Yilmaz"
)
STREETS = _each("Alder Bridge Cedar Church Harbour Hill Lake Maple Mill Oak Park River Station")
CITIES = _each(
    "Aarhus Bergen Bilbao Bologna Bristol Cork Ghent Graz Leipzig Lyon Malmo Porto Utrecht Zurich"
)
KINDS = _each(
    "backpack tent jacket boots lantern stove bottle sleeping-bag hammock rope harness helmet "
    "gloves poles tarp kettle compass headlamp fleece socks trousers mat filter cooler"
)
MAKES = _each("Alpin Boreal Cairn Delta Ember Fjell Granite Horizon Ibex Juniper Kestrel Lumen")
COLOURS = _each("black blue green grey orange red sand white")
CARRIERS = _each("PostNord DHL UPS GLS")

NOUNS = _each(
    "address afternoon answer appointment balance battery birthday box brand buckle button "
    "campsite card catalogue chance charge child choice colleague colour comparison condition "
    "confirmation corner courier crack damage daughter day deadline delay deposit description "
    "detail difference discount distance door driver email evening event example expense fabric "
    "factory family fault fee festival field folder friend front gift group guarantee handle hike "
    "holiday hook hotel house husband idea invoice issue kitchen label layer leak letter limit "
    "list luggage manual manager material meeting message minute mistake moment money month "
    "morning mountain name neighbour night note number offer office option page pair parcel part "
    "partner patch photo picture piece plan pocket policy pressure price problem product purchase "
    "question rain reason receipt refund repair replacement request review river roof room route "
    "rule sample screen seam season seat service set shelf shop shoulder side sign site size snow "
    "sole solution son spring staff stain start step store storm strap street summer supplier "
    "team thing ticket time tooth town trail train transfer traveller trip truck trust valley "
    "value version visit voucher wait wall warehouse warranty water weather website week weekend "
    "weight wheel wife wind window winter work year zipper"
)
VERBS = _each(
    "accept add adjust agree allow answer apply arrange arrive ask attach avoid believe book break "
    "bring buy call cancel carry change charge check choose clean close collect come compare "
    "complain confirm consider continue correct cover decide deliver describe drop expect explain "
    "extend fail fill find finish fit fix fold follow forget forward gather get give go handle "
    "happen hear help hold hope imagine include keep know leave lend let lift like look lose mail "
    "make manage match mean measure meet mention miss move need notice offer open order own pack "
    "pay pick place plan prefer print promise protect prove put reach read receive recommend "
    "refuse remember remove repair repeat replace reply report return save see sell send share "
    "ship show sign solve speak split start stay stop store suggest swap take talk tear tell test "
    "think track travel try understand update use verify wait want wash wear wonder work write"
)
ADJECTIVES = _each(
    "able afraid annoyed available awful bad basic big bright broken careful cheap clean clear "
    "cold common complete correct curious damaged dark different difficult double dry early easy "
    "empty exact expensive extra faulty final fine free fresh full glad good grateful happy hard "
    "heavy helpful honest important large last late light little long loose lost main minor "
    "missing narrow new next nice normal odd old open original partial patient perfect poor "
    "possible previous quick quiet ready real recent regular reliable remaining right rough safe "
    "same separate serious short similar simple single small soft solid sorry special spare "
    "standard strange strong sure tight tired torn total unhappy unusual upset urgent useful usual "
    "warm waterproof wet whole wide worried wrong"
)
ADVERBS = _each(
    "actually again almost already also always apparently badly barely certainly clearly directly "
    "early easily even exactly finally fortunately generally hardly honestly immediately instead "
    "just kindly lately maybe nearly never now often once only perhaps possibly probably properly "
    "quickly quite rather really recently simply slightly somehow soon still suddenly sure then "
    "together tomorrow unfortunately usually very well yesterday"
)

# What somebody tells in words of their own.
CLAUSES = (
    "the {noun} [is|was|looks|seems] [|really |quite |a bit |too ]{adjective}",
    "I [|{adverb} ][need|want|have|would like|hoped] to {verb} [the|my|a|that|this] {noun}",
    "my {noun} and I [|{adverb} ]{verb} the {adjective} {noun} [once|every {noun}|in {city}]",
    "we [can|could|should|will] {verb} it [before|after|with|without] the {noun}",
    "[there is|there was|I found|I noticed] a {adjective} {noun} [on|in|near|under] the {noun}",
    "it [does not|did not|will not|cannot] {verb} the {noun}[| {adverb}| any more]",
    "the {noun} [you sent|I ordered|that came] [has|had] {number} {adjective} [{noun}s|parts]",
    "nobody [told|asked|showed] me [|{adverb} ]about the {noun} [or|and] the {noun}",
    "I {adverb} {verb} and {verb} {adjective} {noun}s [for my {noun}|at the {noun}]",
    "[that|this|it] would be {adjective} for [a|the|our] {noun} [in {number} days|next {noun}]",
    "[what|how] about the {noun} [from|of|at] the {adjective} {noun}",
    "[after all|in the end|by the way|to be clear], the {noun} did not {verb} {adverb}",
)
LINKS = ("and", "but", "because", "so", "although", "while", "since", "which means that", "or")

POLICY = (
    "You [must|should] {verb} the {noun} before you {verb} any {adjective} {noun}.",
    "An order [has|lists] [a|its] {noun}, {noun}s, {noun} and {adjective} {noun}.",
    "A customer [may|may not] {verb} a {noun} within {number} days of the {noun}.",
    "If the {noun} is {adjective}, {verb} the {noun} and {verb} the customer about the {noun}.",
    "Never {verb} a {noun} that is {adjective}, unless [the|a] {noun} [is|was] {adjective}.",
    "Only {verb} one {noun} at a time; do not {verb} the {noun} and {verb} {adverb}.",
    "The {noun} of a {adjective} {noun} is {number}, and [each|every] {noun} adds {number}.",
    "[Transfer|Hand over] to a colleague when the {noun} cannot {verb} the {adjective} {noun}.",
)

# What a customer says at a point of the conversation.
OPENINGS = (
    "[Hi|Hello|Hey|Good morning|Hi there][!|,|.] I [need|want|would like|am trying] to {aim}.",
    "[Hi|Hello|Good evening], [can|could] you help me? I [need|have|want] to {aim}[.|, please.]",
    "I [bought|ordered] a {product} [a while ago|in {month}|last week], and I want to {aim}.",
)
IDENTITIES = (
    "[Sure|Of course|Yes], my customer number is {customer}.",
    "It's {customer}. [|The order is {order}.|I don't have the order number with me.]",
    "My name is {name}, [number|customer number] {customer}[.|, and the order should be {order}.]",
    "{customer}",
)
ANSWERS = (
    "Yes, please [go ahead|do that|proceed].",
    "Yes[, that's right|, that is correct|]. [Thank you|Thanks|Please go on][.|!]",
    "No, [not that one|leave that as it is|I'd rather not].",
    "[Okay|Alright|I see|Hmm|That's a shame|Got it][.|!]",
    "[Thanks|Thank you] for [checking|explaining|the details|looking into it].",
    "[Could|Can] you [also |please |]{verb} the {product}[?| in {colour}?| from order {order}?]",
    "How much [is|would be] the {noun} [in total|for the {product}|with the {noun}]?",
    "The {product}[, please.| is the one.| in {colour}.| for {price} sounds fine.]",
)
CLOSINGS = (
    "[Thank you|Thanks a lot|Thanks], that [is|was] all[.| for today.| I needed.]",
    "[Great|Perfect|Good], [thank you|thanks] for your help[.|!]",
    "No, [nothing else|that's everything]. [Goodbye|Bye|Have a nice day]!",
)

# What the agent says.
ASKS = (
    "[I can|I'd be happy to|I'll gladly] help you [with that|to {aim}]. [Could you please|Please] "
    "[give|provide|tell] me your customer number[?| and the order number, if you have it?]",
    "To [help|assist] you to {aim}, I [need|will need] your customer number[.| and order number.] "
    "[Could you please provide that?|Could you please share them with me?]",
)
FOUND = (
    "Thank you, {first}. [I found|Here are the details of|I looked up] your order {order}:\n\n",
    "I [have|can see] order **{order}** [here|now|in front of me], [placed|made] on {date}:\n\n",
    "Here [is|are] what [I have found|the order contains|we have][:| for {order}:]\n\n",
)
STATES = (
    "[Unfortunately|I'm sorry, but|I understand, but] [we cannot|it is not possible to|I am not "
    "able to] {verb} [it|the {product}|the {noun}] [after {number} days|for a {noun}|{adverb}].",
    "I [have|will] now {verb} the {noun} of [order {order}|the {product}] [for you|as you asked].",
    "The [total|refund|difference|new price] [is|will be|comes to] {price}, and it [goes|will go] "
    "[to your {payment}|back to the original payment method] within [5 to 7|3 to 5|10] days.",
    "I understand [your situation|how {adjective} that is|that this is {adjective}].",
    "The {product} [is|will be] [available|in stock|shipped] [on {date}|in {colour}|{adverb}].",
    "[Please note that|Just so you know,|As a reminder,] the {noun} [must be|is] {adjective}.",
)
PROPOSALS = (
    "[Would you like|Do you want] [me to proceed|to go on|to continue] [with this|with these "
    "changes]? [Please confirm (yes) to proceed.|(yes/no)]",
    "[Please let me know|Let me know|Tell me] [how you would like to proceed|which one you prefer|"
    "if that works for you][.|!]",
    "Is there anything else I can [help|assist] you with[?| today?]",
)
FAREWELLS = (
    "You're welcome, {first}! [If you have any other questions|If anything else comes up], [feel "
    "free to reach out|just write to us]. [Have a great day!|Enjoy your {product}!]",
)
AIMS = (
    "return a {product}",
    "exchange [my|the] {product} for another [size|colour]",
    "cancel order {order}",
    "change the address of order {order}",
    "find out where my {product} is",
    "get a refund for a {product}",
    "report a [broken|torn|faulty] {product}",
    "order [a|another] {product} in {colour}",
)

# Lines of the scripts that the agent runs, and what can follow what.
IMPORTS = (
    "import json",
    "import json\nfrom datetime import date, timedelta",
    "from collections import Counter\nfrom decimal import Decimal",
    "import csv\nimport sys",
)
STATEMENTS = (
    'order = load_order("{order}")',
    'items = [item for item in order["items"] if item["status"] != "{state}"]',
    'total = sum(item["price"] * item["quantity"] for item in items)',
    'due = date.fromisoformat("{date}") + timedelta(days={number})',
    'for item in items:\n    if item["sku"] == "{sku}":\n        item["price"] -= {number}',
    'rows = list(csv.DictReader(open("{noun}s.csv")))',
    'by_{noun} = Counter(row["{noun}"] for row in rows)',
    'def {verb}_{noun}({noun}, rate=0.{number}):\n    """Return the {adjective} {noun}."""\n'
    "    return round({noun} * (1 - rate), 2)",
    "if total > {number}:\n    total = {verb}(total, {number})  # {adjective} {noun}",
    'try:\n    {noun} = find("{customer}")\nexcept LookupError:\n    {noun} = None',
    '{noun} = {"{noun}": {number}, "{noun}": "{state}"}',
)
OUTPUTS = (
    'print(json.dumps({"total": round(total, 2), "due": str(due)}))',
    "print(len(items), total)",
    "print(by_{noun}.most_common({number}))",
)
STATUSES = _each("placed packed shipped delivered returned")
