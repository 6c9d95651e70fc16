"""A thesaurus of feeling beside tasks/training/phrases.py: more adjectives, adverbs, nouns and verbs of each emotion.

Words stand by intensity (1 slight, 2 clear, 3 extreme; neutral has one level) and are separated by commas. Verbs stand
in their base form and are inflected by `verb_form`; a "+" marks a last letter that doubles, as in "sob+" (sobbing).
"""

from __future__ import annotations

Levels = tuple[str, str, str]

MORE_ADJECTIVES: dict[str, Levels] = {
    "neutral": (
        "unconcerned, nonchalant, casual, low-key, mellow, mild, sedate, self-possessed, level-headed, unexcited, "
        "unexcitable, unaffected, inexpressive, toneless, monotonous, routine, professional, official, clinical, "
        "technical, informative, descriptive, instructive, straightforward, unhurried, measured, patient, attentive, "
        "focused, concentrated, rational, reasonable, practical, unbiased, impartial, conversational, everyday, "
        "standard, regular, unremarkable, colourless, bland, wooden, robotic, stolid, phlegmatic, equable, "
        "untroubled, undisturbed, settled, polite, courteous, reserved, correct, disinterested, mechanical, "
        "uninvolved, controlled",
        "",
        "",
    ),
    "happy": (
        "at peace and smiling, chipper, carefree, easygoing and glad, cordial, genial, amiable, sociable, gracious, "
        "appreciative, gratified, reassured, comforted, heartened, confident, positive, hospitable, sweet, caring, "
        "flattered, entertained, jaunty, breezy, contented, fond, tickled, charming, good-tempered, rosy, mirthful",
        "glowing, sparkling, bubbly, bouncy, perky, animated, eager, zestful, passionate, spirited, vivacious, "
        "high-spirited, joyous, blessed, lucky, fortunate, honoured, exulting, chuffed, stoked, psyched, pumped, "
        "giggly, chuckling, grinning, rejoicing, cheering, victorious, successful, keen, overflowing with gratitude, "
        "adoring, infatuated, smitten, enchanted, captivated, hilarious, jocular, blithe, buoyant, sunny-faced",
        "thrilled to bits, tickled pink, in raptures, in ecstasy, transported, intoxicated with joy, delirious with "
        "joy, jumping with excitement, hyper, wild with joy, mad with joy, rapt, on top of the world, flying high, "
        "whooping, crowing, in paradise, in heaven, entranced, ravished, drunk with happiness, bubbling over, "
        "ebullient",
    ),
    "sad": (
        "dreary, bleak, listless, lethargic, lacklustre, cheerless, joyless, mopey, sulky and hurt, plaintive, "
        "lonesome, solitary, deflated, defeated, drained, disenchanted, disillusioned, guilty, ashamed, contrite, "
        "penitent, repentant, sentimental, yearning, longing, pining, saddened, sobered, dismal, down-hearted, under "
        "the weather, subdued and sorry, unfulfilled, empty, numb, withdrawn, tired of life, gloomy-faced",
        "sorrowing, lugubrious, dolorous, funereal, wretched, pained, suffering, lachrymose, sniffling, blubbering, "
        "whimpering with grief, moaning, abandoned, forsaken, rejected, unloved, unwanted, isolated, neglected, "
        "bereaved, widowed, orphaned, heartsick, lovelorn, jilted, dumped, low-spirited, pathetic and tearful, "
        "humiliated and tearful, self-pitying, troubled by regret, tear-stained, moist-eyed, misty-eyed, red-eyed",
        "suicidal, ruined, gutted, torn apart, wrecked, broken-hearted, howling with grief, prostrate with grief, "
        "stricken, wracked with sobs, drowned in tears, beyond consolation, crippled by grief, in pieces, in despair, "
        "consumed by sorrow, agonised, harrowed, traumatised by loss, keening, bawling, dying of a broken heart",
    ),
    "angry": (
        "nettled, piqued, riled, ruffled, rankled, aggravated, crabby, cantankerous, crotchety, irascible, petulant, "
        "surly, gruff, brusque, curt, terse, tetchy, waspish, ratty, huffy, sulky, bad-tempered, ill-tempered, short, "
        "abrupt, grumbling, nagging, moaning about it, out of sorts and cross, disgruntled, discontented, put out, "
        "narked, rubbed up the wrong way, at the end of his patience, firm and cold, snarky and annoyed",
        "steaming, smouldering, hopping mad, sore, worked up, wound up, provoked, antagonistic, combative, "
        "quarrelsome, argumentative, hateful, spiteful, malicious, vindictive, vicious, ruthless, fierce, fiery, "
        "stormy, tempestuous, choleric, furious-looking, embittered, acrimonious, rancorous, insulted, wronged, "
        "betrayed and bitter, exasperated beyond measure, pissed off, cheesed off, teed off, up in arms, growling",
        "irate and roaring, fit to be tied, homicidal, bloodthirsty, savage, feral, frenzied with rage, ballistic, "
        "volcanic, blazing, burning with anger, white-hot with anger, purple with rage, red with fury, wild with "
        "rage, spitting mad, raving mad, out of control, uncontrollable, on the warpath, vitriolic, thundering, "
        "bellowing, hate-filled, consumed with rage, blinded by anger, deranged with rage, hell-raising, ready to "
        "explode",
    ),
    "surprised": (
        "unsure what to make of it, mystified, nonplussed, stumped, uncomprehending, quizzing, disoriented, thrown, "
        "disconcerted, thrown off balance, taken unawares, off balance, surprised and amused, wondering aloud, "
        "unsuspecting, blinking, doubting his ears, pricking up the ears, expectant, sceptically surprised, befuddled",
        "awestruck, wonder-struck, spellbound, dazzled, dazed, overwhelmed by the news, breathless with surprise, "
        "goggle-eyed, bug-eyed, round-eyed, saucer-eyed, pop-eyed, slack-jawed, gaping, gawking, stupid with "
        "surprise, rocked, stirred, incredulous and laughing, unable to take it in, caught by surprise, shook, wowed, "
        "blindsided, ambushed, perplexed beyond words, mesmerised, transfixed with wonder",
        "flabbergasted, stupefied, poleaxed, dumb with amazement, struck dumb, bereft of speech, tongue-tied with "
        "shock, jolted to the core, rooted to the spot with amazement, overwhelmed with astonishment, bombshelled, "
        "shell-shocked, breathtaken, in total disbelief, numb with shock, rocked to the core, frozen in surprise, "
        "knocked for six",
    ),
    "fearful": (
        "fidgety, twitchy, antsy, uptight, high-strung, jumpy, bashful, diffident, meek, mousy, sheepish, tentative, "
        "tremulous, unsettled, disquieted, perturbed, rattled, agitated, suspicious, watchful, guarded, distrustful, "
        "uncertain, vulnerable, exposed, unsafe, overcautious, chicken, faint-hearted, weak-kneed, gutless, "
        "lily-livered, timorous, solicitous, worrying, nail-biting, paranoid, awkward, flustered, overwrought",
        "terrorised, frightened out of sleep, fear-stricken, threatened and small, defenceless, cornered, trapped, "
        "hunted, persecuted, menaced, bullied, traumatised, phobic, claustrophobic, neurotic, desperate, imploring, "
        "beseeching, cringing, flinching, wincing, shrinking, quivering, quavering, ashen, pale with fear, sweating "
        "with fear, freaked out, creeped out, shuddering, cowardly, fleeing, shrieking, squealing, wild-eyed",
        "scared stiff, scared witless, scared out of his mind, frightened to death, mad with fear, numb with fear, "
        "crazed with fear, rigid with fear, transfixed with terror, terror-stricken, shrieking with fear, quaking "
        "with terror, delirious with fear, gripped by panic, panicking, hyperventilating, blood-curdling, awaiting "
        "execution, facing certain death, crippled with fear, frightened for his life, hounded to death",
    ),
    "disgusted": (
        "displeased by the smell, grossed out a bit, picky, prissy, prudish, choosy about food, off his food, "
        "bilious, green around the gills, uneasy at the sight of blood, put off by the taste, a little nauseous, "
        "sniffy about the food, not tempted to eat, unwilling to touch, unenthused by the food, revolted a little, "
        "shuddering a bit",
        "nauseous, disgusted-looking, queasy, sick, icky, yucky, grossed-out, abhorrent, aghast at the filth, turned "
        "off by the dirt, stomach-turning, skin-crawling, repulsed, spitting it out, choking on it, barfing, "
        "scandalised by the filth, tainted, contaminated, polluted, defiled, unclean, shuddering with disgust, "
        "gagging with disgust, averting the eyes from the filth, holding the breath against the smell, seedy",
        "puking, spewing, hurling, throwing up, sick as a dog, violently sick, retching violently, consumed with "
        "loathing, utterly repelled, utterly nauseated, revolted to the core, sickened to the core, choking with "
        "nausea, poisoned by the stench, disgusted beyond words, physically ill with disgust, abhorring every bit",
    ),
    "contempt": (
        "sniffy, lofty, sanctimonious, holier-than-thou, self-righteous, self-important, pretentious, presumptuous, "
        "uppity, stuck-up, toffee-nosed, hoity-toity, pedantic, preachy, critical, unconvinced, blase, jaded, "
        "indulgent and superior, amused by their stupidity, faintly mocking, tongue-in-cheek, flippant, facetious, "
        "glib, offhand, deprecating, catty, bitchy, acid, caustic, tart, barbed, ironical, cavalier, grand",
        "imperious, overbearing, overweening, lordly, domineering, swaggering, boastful, bragging, vain, egotistical, "
        "narcissistic, impudent, brazen, contumelious, slighting, demeaning, degrading, insulting, depreciating, "
        "scathing, scoffing, gloating, leering, laughing at them, unpitying, heartless and superior, elitist, snobby, "
        "bigheaded, swollen-headed, puffed up, patronising and cold, pitiless, dismissive and rude",
        "supremely arrogant, drunk with superiority, megalomaniac, disgusted by their stupidity and superior, "
        "vilifying, tyrannical and scornful, annihilating in his scorn, dripping with scorn, oozing contempt, "
        "venomous with scorn, bitingly scornful, crushing, totally disdainful, treating everyone as scum, full of "
        "disdain, despiteful",
    ),
}

MORE_ADVERBS: dict[str, Levels] = {
    "neutral": (
        "casually, routinely, formally, soberly, levelly, mechanically, stolidly, placidly, serenely, patiently, "
        "professionally, politely, factually, tonelessly, unhurriedly, composedly, as usual, in passing, "
        "indifferently",
        "",
        "",
    ),
    "happy": (
        "amiably, affectionately, tenderly, genially, cordially, good-naturedly, lightheartedly, optimistically, with "
        "good cheer, with a chuckle, encouragingly, lovingly, sweetly, invitingly, with pleasure, with delight",
        "joyously, gleefully, jovially, eagerly, delightedly, radiantly, triumphantly, jollily, with a laugh, with a "
        "giggle, with glee, with enthusiasm, with gusto, beamingly, sunnily, with sparkling eyes, in glee",
        "exultantly, blissfully, giddily, with shrieks of joy, with wild joy, in ecstasy, with boundless happiness",
    ),
    "sad": (
        "plaintively, listlessly, dully, heavily, guiltily, remorsefully, longingly, forlornly, dolefully, sombrely, "
        "with regret, with sorrow, nostalgically, bleakly, resignedly, contritely, with disappointment",
        "woefully, wretchedly, dismally, with a sob, with a sniffle, through tears, with wet eyes, in grief, "
        "morosely, in sorrow, with an aching heart, piteously, brokenly, in a choked voice, disconsolately, painfully",
        "in despair, with heartrending sobs, despairingly and in tears, in utter misery, agonisingly, with loud "
        "wailing",
    ),
    "angry": (
        "gruffly, brusquely, curtly, tersely, grudgingly, snappishly, peevishly, petulantly, sulkily, sourly, "
        "huffily, irritatedly, with irritation, with impatience, disapprovingly, reprovingly, gratingly, abruptly",
        "fiercely, hotly, threateningly, menacingly, hatefully, spitefully, viciously, venomously, with anger, in "
        "anger, with hostility, belligerently, maliciously, roughly, rudely, with a growl, with a snarl, crossly and "
        "loudly",
        "with fury, in a fury, in a frenzy of anger, savagely, explosively, thunderously, murderously, with blazing "
        "eyes",
    ),
    "surprised": (
        "questioningly and surprised, with curiosity, in puzzlement, in confusion, with a blink, bemusedly, with a "
        "puzzled look, uncertain what it means, interestedly, perplexedly, confusedly",
        "astonishedly, amazedly, disbelievingly, unbelievingly, with amazement, with a start, in awe, wide-eyed, "
        "open-mouthed, agape, with bated breath, in wonderment, bewilderedly, with a cry of surprise, breathlessly",
        "speechlessly, in complete shock, dumbfoundedly, in open-mouthed astonishment, as if struck by lightning",
    ),
    "fearful": (
        "edgily, cautiously, tentatively, falteringly, worriedly, with concern, doubtfully, diffidently, restlessly, "
        "with unease, with anxiety, with apprehension, jumpily, haltingly, in a small voice, gingerly, bashfully",
        "frightenedly, with fear, affrightedly, timorously, quakingly, pleadingly, desperately, imploringly, with "
        "alarm, in fright, in dread, with a shudder, quiveringly, with a frightened whisper, alarmedly, frantically",
        "with terror, with horror, panic-strickenly, in terror of death, in abject fear, in hysterics of fear, with a "
        "scream of terror",
    ),
    "disgusted": (
        "with a grimace, with mild aversion, uneasily sniffing, with a wrinkled nose, with repugnance, with qualms",
        "disgustedly, with revulsion, with loathing, with nausea, sickly, in disgust, revoltedly, with a retch, "
        "nauseously, with abhorrence, yuckily, with a gag, squeamishly and pale, repulsedly",
        "with utter revulsion, in utter disgust, while vomiting, with violent nausea, with deepest loathing",
    ),
    "contempt": (
        "wryly, drily, ironically, sarcastically, smugly, cynically, sardonically, archly, flippantly, dismissively, "
        "sceptically, patronisingly, haughtily, snidely, condescendingly, cockily, with irony, with sarcasm, airily",
        "contemptuously, scornfully, disdainfully, mockingly, derisively, arrogantly, sneeringly, disparagingly, "
        "superciliously, insolently, cuttingly, witheringly, scathingly, pompously, with derision, with scorn, with "
        "ridicule, snobbishly, jeeringly, tauntingly, pityingly, imperiously, with a smug grin, with a snort",
        "with withering scorn, with boundless disdain, with cold hate and scorn, despisingly, with crushing scorn",
    ),
}

MORE_NOUNS: dict[str, str] = {
    "neutral": "calm, composure, neutrality, equanimity, indifference, objectivity, detachment, routine, normality, "
    "serenity, matter-of-factness, impartiality, restraint, nonchalance, poise, sobriety, stillness",
    "happy": "happiness, joy, delight, cheer, glee, gladness, bliss, elation, merriment, pleasure, amusement, "
    "satisfaction, contentment, enthusiasm, excitement, gratitude, pride, love, affection, hope, optimism, triumph, "
    "euphoria, exhilaration, jubilation, mirth, laughter, relief, fun, warmth, exuberance, ecstasy, rapture, hilarity",
    "sad": "sadness, sorrow, grief, misery, gloom, melancholy, despair, heartbreak, regret, remorse, loneliness, "
    "disappointment, mourning, woe, anguish, depression, dejection, despondency, unhappiness, hopelessness, loss, "
    "desolation, longing, homesickness, guilt, shame, self-pity, heartache, pain, suffering, tears, torment, agony",
    "angry": "anger, rage, fury, wrath, ire, annoyance, irritation, indignation, resentment, outrage, exasperation, "
    "hostility, aggression, hatred, hate, frustration, impatience, displeasure, temper, bitterness, spite, malice, "
    "vengeance, animosity, antagonism, bile, rancour, ill will, bad temper, grudge, vexation, hot temper, violence",
    "surprised": "surprise, astonishment, amazement, wonder, disbelief, shock, bewilderment, awe, incredulity, "
    "puzzlement, confusion, curiosity, wonderment, stupefaction, bafflement, perplexity, unexpectedness, fascination",
    "fearful": "fear, terror, dread, fright, panic, horror, anxiety, worry, nervousness, unease, alarm, trepidation, "
    "apprehension, dismay, foreboding, timidity, cowardice, stage fright, hysteria, distress, angst, paranoia, "
    "phobia, cold sweat, misgiving, insecurity, the creeps, the jitters, goosebumps, nightmares, concern, tension",
    "disgusted": "disgust, revulsion, nausea, repulsion, loathing, aversion, distaste, repugnance, abhorrence, "
    "sickness, queasiness, squeamishness, antipathy to dirt, qualms, abomination, an upset stomach, detestation",
    "contempt": "contempt, scorn, disdain, derision, mockery, ridicule, arrogance, condescension, superiority, "
    "sarcasm, cynicism, disrespect, haughtiness, smugness, irony, snobbery, sneers, insolence, hubris, conceit, "
    "self-importance, disparagement, belittlement, dismissiveness, cold pride, taunts, gloating, schadenfreude",
}

VERBS: dict[str, Levels] = {
    "neutral": (
        "state, report, inform, explain, describe, mention, note, list, recite, read, dictate, summarise, comment, "
        "observe, remark, reply, answer, announce, present, narrate, lecture, instruct, clarify, specify, confirm, "
        "repeat, count, enumerate, outline, quote, translate, document, record, register, notify, brief, demonstrate",
        "",
        "",
    ),
    "happy": (
        "smile, grin+, chuckle, hum+, relax and smile, wink, enjoy it, appreciate it, welcome them, thank them, bless "
        "them, compliment them, praise them, encourage them, cuddle, comfort, warm to it, jest, joke",
        "laugh, giggle, beam, cheer, celebrate, rejoice, delight, sparkle, glow, applaud, clap+, sing, dance, hug+, "
        "embrace, kiss, party, congratulate them, toast them, revel, frolic, titter, whistle, adore, cherish, love it",
        "exult, whoop, jump for joy, squeal with delight, roar with laughter, burst with joy, explode with joy, leap "
        "about, shriek with joy, dance with joy, weep for joy, shout hooray, sing and dance, crow with triumph",
    ),
    "sad": (
        "sigh, mope, brood, sulk, languish, miss them, regret it, pine, long for home, sniff, droop, wilt, hang the "
        "head, apologise, sag+, despond, fret over the loss, feel low, reminisce, yearn, repent, lose heart",
        "cry, weep, sob+, grieve, mourn, lament, snivel, whimper, blubber, moan, ache, suffer, shed tears, choke back "
        "the tears, wipe the tears away, despair, hurt, break down, well up, bemoan, sniffle, languish in grief",
        "wail, bawl, howl with grief, break down in tears, cry bitterly, weep bitterly, sob without end, keen, "
        "collapse in grief, fall apart, dissolve in tears, burst into tears, cry until nothing is left, beg to die",
    ),
    "angry": (
        "frown, scowl, grumble, complain, nag+, moan about it, huff, protest, object, scold, chide, mutter, grouse, "
        "gripe, tut+, reprimand them, rebuke them, reproach them, criticise them, criticise, lose patience, bristle",
        "glare, glower, snarl, growl, hiss, snap, bark, curse, swear, argue, quarrel, shout, yell, accuse, threaten, "
        "rant, fume, seethe, storm, lash out, hate, blame, attack, insult, bicker, stamp the foot, bang the table, "
        "clench the fists, resent it, provoke, retaliate, thump the desk, boil, see red, flare up, condemn",
        "rage, roar, bellow, explode, erupt, scream with anger, rave, go berserk, smash things, howl with rage, "
        "thunder, vow revenge, blow up, fly off the handle, hit the ceiling, rampage, strangle, curse and yell, kill",
    ),
    "surprised": (
        "wonder, blink, raise an eyebrow, ask again, look up, look puzzled, marvel a little, pause, question, do a "
        "double take, scratch the head, tilt the head in question, look confused, hesitate in surprise",
        "gasp, gape, gawk, goggle, stare, marvel, start, jump, exclaim, gawp, widen the eyes, disbelieve, wonder "
        "aloud, catch the breath, stop in his tracks, stop in her tracks, open the mouth wide, rub the eyes, lift the "
        "brows",
        "reel, stagger, freeze in amazement, fall off the chair, lose the power of speech, faint with surprise, stare "
        "open-mouthed, stand there speechless, nearly faint, cry out in amazement, go blank, drop the cup in shock",
    ),
    "fearful": (
        "worry, fret, fidget, gulp, hesitate, stammer, stutter, falter, hover, doubt, waver, blush, swallow, squirm, "
        "bite the nails, wring the hands, glance around, look over the shoulder, tense up, agonise, panic a little",
        "tremble, shake, shiver, quiver, quake, shudder, cower, cringe, flinch, recoil in fear, shrink, hide, flee, "
        "run away, beg, plead, implore, whimper, dread, fear, sweat, tiptoe, duck, crouch, wince, back away, escape, "
        "take cover, call for help, hold the breath, freeze",
        "panic, scream, shriek, scream for help, shriek in horror, run for dear life, freeze with terror, faint with "
        "fear, beg for mercy, plead for life, hyperventilate, cry out in terror, tremble all over, wet+ himself",
    ),
    "disgusted": (
        "grimace, wrinkle the nose, sniff at it, pull a face, pick at the food, push it away, turn up the nose, screw "
        "up the face, stick out the tongue, hold the nose, pout at the taste, shun it, avoid touching it",
        "gag+, retch, spit it out, recoil in disgust, shudder with disgust, cover the nose, loathe it, abhor it, feel "
        "sick, choke on it, detest the smell, pinch the nose, turn away, turn green, cough it up, wipe it off, feel "
        "ill",
        "vomit, puke, throw up, heave, barf, spew, be sick, hurl, bring up the dinner, empty the stomach, retch and "
        "retch, choke on vomit, run to the toilet, vomit into a bucket, nearly throw up",
    ),
    "contempt": (
        "smirk, roll the eyes, scoff a little, shrug it off, raise one eyebrow, tease, quip+, patronise, condescend, "
        "yawn at them, doubt their wits, ignore them, correct everyone, sniff, snicker, snigger, show off, lord it "
        "over them",
        "sneer, scoff, mock, jeer, ridicule, deride, belittle, taunt, scorn, disdain, despise, disparage, laugh at "
        "them, snort, look down on them, gloat, boast, brag+, swagger, brush them aside, turn his back on them, curl "
        "the lip, humiliate, demean, insult their wits, snub+, spurn, make fun of them, poke fun at the weak",
        "spit at them, crush them with words, revile, vilify, trample on them, despise them all, laugh in their "
        "faces, degrade them, heap scorn on them, treat them like vermin, wipe the floor with them, grind them into "
        "the dirt",
    ),
}


def verb_form(verb: str, form: str) -> str:
    """A regular verb phrase such as "shrug off" in `form` "base", "s", "ing"; its first word is inflected."""
    word, _, rest = verb.partition(" ")
    double, word = word.endswith("+"), word.rstrip("+")
    if form == "ing":
        if word.endswith("ie"):
            word = word[:-2] + "y"
        elif word.endswith("e") and not word.endswith(("ee", "oe")) and word != "be":
            word = word[:-1]
        word += (word[-1] if double else "") + "ing"
    elif form == "s":
        if word == "be":
            word = "is"
        elif word.endswith("y") and word[-2] not in "aeiou":
            word = word[:-1] + "ies"
        else:
            word += "es" if word.endswith(("s", "sh", "ch", "x", "z", "go")) else "s"
    return f"{word} {rest}".strip()
