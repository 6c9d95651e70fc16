"""How people write about feelings: the words that the text encoder learns emotions from.

For each emotion and intensity (1 slight, 2 clear, 3 extreme): adjectives, adverbs, and idioms (what somebody is
*doing*). The captions and free texts of tasks/training/text.py are woven from these. Words that could belong to
two emotions stand where a director would most likely mean them.
"""

from __future__ import annotations

ADJECTIVES: dict[str, tuple[str, str, str]] = {
    "neutral": (
        "neutral, calm, composed, relaxed, matter-of-fact, even, plain, impassive, unemotional, level, steady, "
        "expressionless, deadpan, detached, objective, businesslike, quiet, serene, at ease, unmoved, placid, flat, "
        "ordinary, indifferent, cool, collected, unruffled, factual, dispassionate, tranquil, blank, poker-faced, "
        "peaceful, balanced, sober, formal, natural, normal, restful, stoic",
        "",
        "",
    ),
    "happy": (
        "content, pleased, friendly, amused, pleasant, warm, satisfied, gentle and smiling, hopeful, light-hearted, "
        "kind, good-natured, welcoming, mildly amused, glad, optimistic, encouraging, affectionate, cosy, tender, "
        "sunny, approving, relieved, comfortable, sympathetic and smiling, playful",
        "happy, cheerful, joyful, merry, delighted, smiling, upbeat, jolly, bright, excited, proud, enthusiastic, "
        "grateful, jovial, lively, laughing, cheery, gleeful, charmed, festive, loving, in love, tickled, beaming, "
        "good-humoured, thankful, in high spirits, radiant, triumphant, celebrating",
        "ecstatic, overjoyed, elated, thrilled, euphoric, jubilant, exhilarated, exuberant, rapturous, blissful, "
        "beside himself with joy, beside herself with joy, over the moon, on cloud nine, wildly happy, delirious, "
        "bursting with joy, exultant, in seventh heaven, roaring with laughter, giddy, enraptured, walking on air",
    ),
    "sad": (
        "wistful, subdued, disappointed, down, melancholy, pensive, blue, regretful, a bit low, lonely, glum, "
        "nostalgic, moody, sombre, weary, resigned, discouraged, dispirited, crestfallen, rueful, apologetic, "
        "homesick, forlorn, let down, sorry, tired and low, thoughtful and sad, bittersweet",
        "sad, unhappy, sorrowful, tearful, gloomy, dejected, downcast, mournful, heavy-hearted, depressed, "
        "miserable, hurt, upset, grieving, doleful, despondent, down in the dumps, woeful, melancholic, weepy, "
        "broken, disheartened, lamenting, aching, remorseful, in low spirits, wounded, morose",
        "heartbroken, devastated, grief-stricken, inconsolable, despairing, desolate, sobbing, crushed, weeping, "
        "hopeless, anguished, shattered, distraught with grief, wailing, bereft, in tears, crying, tormented, "
        "utterly miserable, destroyed, in agony, overcome with sorrow, in mourning",
    ),
    "angry": (
        "annoyed, irritated, impatient, displeased, grumpy, cross, irked, peeved, testy, tense and annoyed, stern, "
        "strict, vexed, snappy, bothered, miffed, short-tempered, prickly, sullen, cranky, frowning, ticked off, "
        "grouchy, exasperated, reproachful, grudging, touchy, disapproving",
        "angry, mad, indignant, hostile, aggressive, resentful, heated, frustrated, fuming, outraged, bitter, "
        "threatening, harsh, irate, cross and loud, glaring, offended, scolding, accusing, sharp, wrathful, "
        "belligerent, snarling, incensed, confrontational, menacing, fed up, hot-tempered, vengeful",
        "furious, enraged, raging, livid, seething, screaming with rage, wrathful and shouting, infuriated, "
        "incandescent, berserk, boiling with rage, apoplectic, murderous, explosive, ferocious, yelling, shouting, "
        "out of his mind with anger, foaming, rabid, maddened, hell-bent on revenge, violent, beside himself with rage",
    ),
    "surprised": (
        "mildly surprised, curious, intrigued, puzzled, a little taken aback, wondering, unexpecting, baffled, "
        "quizzical, bemused, questioning, interested, perplexed, confused, caught off guard, raising an eyebrow, "
        "struck, unprepared, inquisitive, confounded",
        "surprised, astonished, amazed, startled, incredulous, wide-eyed, taken aback, disbelieving, bewildered, "
        "awed, impressed, staggered, wonderstruck, marvelling, open-mouthed, jolted, gasping, agape, in awe, "
        "flabbergasted by the news, unbelieving, fascinated",
        "shocked, stunned, astounded, flabbergasted, speechless, dumbfounded, thunderstruck, gobsmacked, "
        "blown away, jaw-dropped, stupefied, dumbstruck, mind-blown, utterly amazed, bowled over, floored, "
        "electrified, knocked sideways, unable to believe it, reeling",
    ),
    "fearful": (
        "nervous, uneasy, worried, hesitant, anxious, timid, shy, wary, apprehensive, cautious, insecure, jittery, "
        "unsure, tense, concerned, troubled, edgy, restless, doubtful, on edge, faltering, stage-frightened, "
        "self-conscious, fretful, jumpy, cowed, skittish",
        "afraid, scared, frightened, fearful, alarmed, trembling, shaken, intimidated, distressed, quaking, "
        "shivering, spooked, threatened, unnerved, cowering, dreading, stressed, frantic, haunted, helpless, "
        "whimpering, shaking, daunted, panicky, begging",
        "terrified, panicked, petrified, horrified, panic-stricken, hysterical with fear, frozen with fear, "
        "scared to death, terror-struck, paralysed with fear, aghast, screaming in terror, frightened out of her "
        "wits, mortally afraid, horror-struck, in mortal danger, in a panic, desperate with fear, pleading for life",
    ),
    "disgusted": (
        "put off, uncomfortable with the smell, distasteful, averse, squeamish, fastidious, displeased by the taste, "
        "unappetised, grimacing slightly, queasy, wrinkling the nose, reluctant to touch it, turned off, finicky, "
        "repelled a little, sickly, bothered by the stench, uneasy in the stomach",
        "disgusted, revolted, repulsed, nauseated, grossed out, sickened, repelled, grimacing, loathing, gagging, "
        "appalled by the filth, offended by the smell, retching, abhorring, recoiling, queasy and pale, put off food",
        "utterly revolted, about to vomit, violently disgusted, sick to the stomach, filled with loathing, "
        "full of revulsion, vomiting, heaving, overwhelmed by nausea, abominating, horrified by the filth, "
        "overcome with revulsion, retching with disgust, deeply repulsed",
    ),
    "contempt": (
        "smug, sceptical, dismissive, unimpressed, ironic, sarcastic, wry, aloof, cynical, patronising, cocky, "
        "condescending, supercilious, doubting and superior, dry, snide, bored with them, know-it-all, haughty, "
        "self-satisfied, teasing, cheeky and superior, sardonic",
        "contemptuous, scornful, sneering, disdainful, mocking, derisive, arrogant, disrespectful, belittling, "
        "jeering, taunting, snobbish, insolent, superior, disparaging, smirking, ridiculing, high and mighty, "
        "conceited, pompous, looking down on everyone, snooty, withering",
        "utterly contemptuous, full of scorn, dripping with disdain, despising, withering with scorn, hateful and "
        "superior, merciless in mockery, filled with contempt, viciously scornful, boundlessly arrogant, "
        "treating them like dirt, reviling, deeply scornful",
    ),
}

ADVERBS: dict[str, tuple[str, str, str]] = {
    "neutral": (
        "neutrally, calmly, evenly, plainly, flatly, impassively, steadily, matter-of-factly, quietly, coolly, "
        "without any emotion, without expression, without feeling, objectively, dispassionately, naturally, normally",
        "",
        "",
    ),
    "happy": (
        "warmly, pleasantly, contentedly, gently and kindly, hopefully, fondly, playfully, kindly, approvingly",
        "happily, cheerfully, joyfully, merrily, brightly, gladly, proudly, enthusiastically, gratefully, excitedly",
        "ecstatically, exuberantly, jubilantly, euphorically, deliriously, rapturously, elatedly",
    ),
    "sad": (
        "wistfully, pensively, regretfully, ruefully, glumly, wearily, disappointedly, apologetically",
        "sadly, unhappily, sorrowfully, tearfully, gloomily, mournfully, miserably, dejectedly, despondently",
        "heartbrokenly, inconsolably, despairingly, desolately, hopelessly, in floods of tears, with sobs",
    ),
    "angry": (
        "impatiently, irritably, sternly, crossly, grumpily, testily, with annoyance, reproachfully",
        "angrily, indignantly, bitterly, harshly, aggressively, resentfully, sharply, accusingly, heatedly",
        "furiously, wrathfully, in a rage, ferociously, violently, at the top of his voice with rage, rabidly",
    ),
    "surprised": (
        "curiously, quizzically, wonderingly, with raised eyebrows, with some surprise, questioningly",
        "surprisedly, in surprise, with astonishment, in amazement, incredulously, in disbelief, with wonder",
        "in shock, in utter amazement, in total astonishment, thunderstruck, in stunned disbelief",
    ),
    "fearful": (
        "nervously, uneasily, anxiously, timidly, hesitantly, warily, apprehensively, shyly",
        "fearfully, in fear, with fright, tremblingly, in alarm, shakily, with dread",
        "in terror, in panic, in sheer horror, hysterically, with mortal fear, in blind panic",
    ),
    "disgusted": (
        "with distaste, squeamishly, with slight disgust, queasily, with aversion",
        "disgustedly, with disgust, in revulsion, with repugnance, with loathing",
        "with violent disgust, with utter revulsion, with deep loathing, in utter disgust",
    ),
    "contempt": (
        "smugly, dismissively, ironically, sarcastically, wryly, cynically, condescendingly, aloofly",
        "contemptuously, scornfully, disdainfully, mockingly, derisively, arrogantly, with a sneer",
        "with utter contempt, with withering scorn, with boundless disdain, with total contempt",
    ),
}

NOUNS: dict[str, str] = {
    "neutral": "calm, composure, neutrality, indifference, equanimity, poise, no emotion",
    "happy": "happiness, joy, delight, pleasure, cheer, glee, excitement, elation, bliss, gratitude, love, pride",
    "sad": "sadness, sorrow, grief, melancholy, despair, misery, gloom, regret, heartbreak, loneliness, mourning",
    "angry": "anger, rage, fury, wrath, annoyance, irritation, outrage, frustration, hostility, resentment, hatred",
    "surprised": "surprise, astonishment, amazement, shock, wonder, disbelief, awe, bewilderment, curiosity",
    "fearful": "fear, terror, panic, dread, anxiety, worry, fright, horror, nervousness, alarm, stress",
    "disgusted": "disgust, revulsion, nausea, loathing, repulsion, distaste, aversion, repugnance",
    "contempt": "contempt, scorn, disdain, mockery, derision, arrogance, disrespect, sarcasm, condescension",
}

IDIOMS: dict[str, tuple[str, str, str]] = {
    "neutral": (
        "reading the news; stating the facts; giving directions; explaining how it works; with a straight face; "
        "keeping a level tone; reporting the weather; reading out a list; with no particular feeling; "
        "as if nothing had happened; keeping it professional; giving a lecture; "
        "reciting a timetable; simply talking; talking to the "
        "camera; speaking; without a trace of emotion; in a monotone; a person speaks; the speaker talks; just "
        "informing the audience; telling it like it is; showing no feelings at all; neither happy nor sad; not "
        "emotional; keep a poker face; an everyday conversation; the man walks to the office; the train leaves at "
        "nine; a woman in a blue shirt; the meeting starts on Monday; a news anchor; a documentary narrator; a table "
        "by the window; dictating a letter; describing the building; default; no emotion",
        "",
        "",
    ),
    "happy": (
        "with a little smile; quietly pleased with himself; with a twinkle in her eye; smiling softly; glad to help; "
        "with a warm smile; enjoying the moment; greeting a neighbour; feeling good about it; with fondness; making "
        "small talk with a friend; looking on the bright side; taking it with good humour; with a hint of a smile; "
        "with a kind word for everyone; looking forward to the weekend",
        "delighted to see you; laughing as he speaks; telling a good joke; sharing wonderful news; with a big smile; "
        "having the time of her life; grinning from ear to ear; happy as a clam; like a child on its birthday; "
        "welcoming an old friend; wishing you a happy birthday; proud of her team; singing with joy; in a great mood; "
        "full of the joys of spring; all smiles; with a song in his heart; cheering them on; "
        "congratulating the winner; thanking everyone from the heart; glad that you came; what a beautiful day; "
        "I love it",
        "jumping for joy; over the moon about it; just won the lottery; crying tears of joy; cannot stop laughing; "
        "shouting for joy; happiest day of my life; bursting with happiness; we won the championship; dancing on the "
        "tables; the baby is born and all is well; she said yes; about to explode with excitement; beaming with "
        "uncontainable joy; on top of the world; wild with delight; best news ever; yelling hooray",
    ),
    "sad": (
        "with a sigh; missing home; remembering better days; a little let down; looking at old photographs; with a "
        "heavy sigh; feeling sorry for himself; not in good spirits; a touch of sorrow in the voice; eyes cast down; "
        "with quiet regret; wishing things had gone differently; thinking of those who are gone; under a cloud; a "
        "lump in the throat; feeling left out",
        "barely holding back tears; on the verge of tears; with tears in her eyes; saying goodbye for ever; at a "
        "funeral; delivering bad news; with a broken voice; close to tears; mourning a friend; voice cracking with "
        "sorrow; fighting back tears; feeling the loss; with a quivering lip; heavy with grief; his heart aches; "
        "lost her job today; the dog died; having lost all hope of seeing him; choked up; about to cry; weighed down "
        "by sorrow; trying not to cry; swallowing the tears; I miss you so much",
        "crying her eyes out; sobbing uncontrollably; heart torn to pieces; having lost everything; broken by grief; "
        "weeping over the grave; tears streaming down the face; there is nothing left to live for; drowning in "
        "sorrow; in floods of tears; collapsed in grief; my world has ended; mourning her child; bawling; wailing in "
        "despair; utterly without hope; a broken man; cries bitterly",
    ),
    "angry": (
        "losing patience; with a frown; rolling his eyes in annoyance; running out of patience; fed up with waiting; "
        "biting her tongue; not amused; through pressed lips; telling off a child; getting worked up; the noise gets "
        "on his nerves; tapping her foot; a warning in the voice; keeping the temper in check; holding back anger; "
        "this is getting annoying; complaining to the waiter",
        "through clenched teeth; demanding an explanation; raising his voice; losing his temper; with fists clenched; "
        "picking a fight; having had enough; seeing red; giving them a piece of her mind; how dare you; accusing the "
        "traitor; with a glare; get out of my house; this is unacceptable; spitting out the words; barking orders; "
        "hot under the collar; boiling inside; at daggers drawn; in a huff; quarrelling; arguing loudly; swearing at "
        "the driver; I hate you; slamming the door; up in arms; hitting the roof",
        "exploding with rage; shouting at the top of his lungs; ready to kill; out for blood; blind with rage; "
        "screaming and throwing things; in a towering fury; trembling with rage; foaming at the mouth; roaring like a "
        "lion; going ballistic; blowing a fuse; about to punch someone; swearing revenge; yelling in fury; consumed "
        "by hatred; smashing the furniture; his blood boils; in a blind rage; flying into a rage",
    ),
    "surprised": (
        "did not see that coming; with one eyebrow raised; wait, what; oh, really; that is odd; looking twice; "
        "wondering what happened; is that so; caught by a small surprise; hearing something new; finding a stranger at "
        "the door; trying to understand; huh; well, well; something unexpected",
        "with eyes wide open; mouth open in amazement; can hardly believe it; seeing a ghost from the past; what a "
        "surprise; opening an unexpected gift; you are kidding; oh my goodness; jumping at the sound; meeting a "
        "long-lost brother out of the blue; unbelievable; I cannot believe it; out of nowhere; finding a hidden room; "
        "wow; with a gasp; taken by surprise; astonished at the news; a surprise party; no way",
        "jaw on the floor; unable to speak from shock; cannot believe her eyes; struck by lightning; lost for words; "
        "frozen in astonishment; hit by a bombshell; the shock of a lifetime; eyes popping out; completely blown "
        "away; what on earth; staring in disbelief; impossible, this cannot be real; knocked off her feet by the "
        "news; the dead man stands at the door",
    ),
    "fearful": (
        "with butterflies in the stomach; walking on eggshells; biting her nails; before an exam; with a nervous "
        "laugh; not sure if it is safe; swallowing hard; looking over the shoulder; afraid to say the wrong thing; "
        "worried about the results; clearing his throat nervously; on pins and needles; with cold feet; having a bad "
        "feeling; fidgeting; waiting for the doctor's call",
        "with trembling lips; shaking like a leaf; hiding from someone; hearing footsteps in the dark; in fear of "
        "being caught; whispering so that nobody hears; heart in the mouth; with a shaking voice; please do not hurt "
        "me; backing away; something is in the house; chased by wolves; white as a sheet; teeth chattering with fear; "
        "blood runs cold; afraid of the dark; scared of spiders; someone is following me; begging for mercy; holding "
        "her breath in fear; in a cold sweat",
        "screaming for help; frozen in terror; running for his life; staring death in the face; scared out of her "
        "wits; in mortal fear; the killer is in the room; hysterical with terror; we are all going to die; in blind "
        "panic; scared stiff; wide-eyed with horror; the worst nightmare come true; trapped in a burning house; "
        "falling to her death; paralysed by fear",
    ),
    "disgusted": (
        "wrinkling her nose; smelling something off; turning up the nose at the food; making a face; not to his taste; "
        "finding a hair in the soup; pushing the plate away; a bad taste in the mouth; a funny smell; would rather not "
        "touch it; pulling a face; that milk has gone sour; yuck",
        "as if smelling rotten eggs; biting into a rotten apple; finding a cockroach in the soup; making the stomach "
        "turn; the smell is revolting; that is gross; turning away in disgust; stepping in something foul; covering "
        "the nose; looking at something slimy; feeling sick at the sight; it makes my skin crawl; sickened by the "
        "sight; ugh, disgusting; tasting spoiled fish; the toilet is filthy; crawling with maggots; this is vile",
        "about to throw up; unable to keep the food down; retching at the stench; sick with revulsion; the most "
        "disgusting thing ever seen; a corpse rotting in the heat; swallowing a worm; choking on the stench; vomit "
        "everywhere; covered in sewage; wants to be sick; unbearably foul",
    ),
    "contempt": (
        "with a smirk; rolling her eyes; not impressed in the least; with a curl of the lip; a half smile of "
        "superiority; damning with faint praise; a dig at a rival; a sarcastic remark; oh how clever of you; with "
        "one corner of the mouth raised; stifling a yawn at their efforts; as if he knew better; whatever; do you "
        "really think so; amateurs",
        "looking down on them; with a sneer; you are not worth my time; laughing at the loser; thinking himself better "
        "than everyone; holding them in scorn; mocking the fool; nose in the air; with a scoff; pathetic; talking down "
        "to a servant; as if speaking to an idiot; treating him as dirt; beneath her dignity; sneering at the poor; "
        "you call that a plan; ridiculing the opponent; what an idiot; laughable",
        "spitting on them; despising every one of them; you are nothing to me; with nothing but scorn; lower than "
        "vermin; crushing them with mockery; the scum of the earth; not fit to lick my boots; beneath all contempt; "
        "worthless insect; laughing coldly at their misery; utter disdain for the rabble",
    ),
}

DEGREES: tuple[str, str, str] = (
    "slightly; a little; a bit; somewhat; mildly; faintly; subtly; a touch; just a bit; barely; kind of; lightly",
    "; quite; clearly; rather; really; pretty; visibly; obviously; fairly; moderately",
    "very; extremely; intensely; utterly; deeply; overwhelmingly; incredibly; totally; absolutely; completely; "
    "strongly; so; terribly; insanely; hugely; violently; wildly",
)
OTHER_LANGUAGES: dict[str, str] = {
    "neutral": "neutral; ruhig; gelassen; sachlich; calme; neutre; tranquilo; neutro; calmo; sereno",
    "happy": "fröhlich; glücklich; freudig; heureux; joyeux; content; feliz; alegre; contento; felice; allegro",
    "sad": "traurig; betrübt; triste; malheureux; infeliz; abbattuto; weinend; en larmes; llorando",
    "angry": "wütend; zornig; verärgert; en colère; furieux; fâché; enojado; furioso; enfadado; arrabbiato; zangado",
    "surprised": "überrascht; erstaunt; surpris; étonné; sorprendido; asombrado; sorpreso; stupito; surpreso",
    "fearful": "ängstlich; verängstigt; effrayé; apeuré; asustado; temeroso; con miedo; spaventato; impaurito",
    "disgusted": "angewidert; angeekelt; dégoûté; asqueado; con asco; disgustato; schifato; com nojo",
    "contempt": "verächtlich; herablassend; méprisant; dédaigneux; despectivo; con desprecio; sprezzante; desdenhoso",
}
