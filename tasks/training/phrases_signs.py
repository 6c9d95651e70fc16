"""What can be seen and heard of a feeling: face, eyes, breath, hands, voice, posture, and the images for it.

The notation is that of tasks/training/phrases_scenes.py. A sign stands mostly for itself or before a deed that means
nothing, so that it is the sign that is learned and not a word of feeling beside it.
"""

from __future__ import annotations

SIGNS: dict[str, tuple[str, str, str]] = {
    "neutral": (
        "(voice|tone|delivery) (steady|flat|even|unvarying|clear and plain|without colour|in the middle register|at "
        "room temperature); (face|features|forehead|mouth) (slack|at rest|still|unlined|giving nothing away|like a "
        "mask|as in a passport photo|that tells nothing); (hands|arms) (folded on the desk|at the sides|at rest|in the "
        "lap); (eyes|gaze) (straight ahead|on the page|level|on the screen|half on the clock|idle); (breath|breathing|"
        "pulse) (slow and even|regular|unchanged); (a|the) (shrug|nod) and (no more|nothing else|on to the next "
        "point); (neither|not) (one thing nor the other|up nor down|warm nor cold|pleased nor displeased|for nor "
        "against); (middle|plain|clean|dry|grey) (of the road|voice|delivery|tone|prose); like (a blank page|a "
        "speaking clock|an empty form|still water|a metronome|an announcement at the station|a lift voice|the small "
        "print|a lecture on soil); (unreadable|inscrutable|opaque|featureless|toneless|affectless|colourless|"
        "unemphatic|uncoloured|undramatic|noncommittal|plain-spoken|unfussy|dutiful|methodical|systematic); (keeps|"
        "keeping) (it|things) (plain|factual|simple|short|dry|neutral|civil); (reads|speaks|answers|looks) (as one "
        "reads a label|by rote|from the card|off the page|without looking up|like any other day)",
        "",
        "",
    ),
    "happy": (
        "(a|the) (smile|grin) (starts|spreads|breaks out|creeps in|tugs|plays) (as|when|while) {they} {deed}; (a|with "
        "a) (glint|spark|light|warmth|shine|softness) in (the|her|his) (eye|eyes|voice); (lips|mouth) (curve|turn "
        "up|twitch with mirth|quirk upwards|part in a smile); (humming|whistling|beaming|chuckling) (while|as) {they} "
        "{deed}; (shoulders|brow|face) (loosen|relaxes|softens|unknit) (and a smile comes|into a smile); (a soft|a "
        "gentle|an easy|a sunny|a fond|a tender) (glow|laugh|look|voice|manner|gaze); (purring|basking|snug|mellow|"
        "cosy|blissed out|at ease and smiling|well content|warm all over)",
        "(eyes|face) (aglow|alight|bright|dancing|twinkling|all smiles|beaming) as {they} {deed}; (laughs|grins|beams|"
        "smiles|giggles|chuckles) (as|when|while) {they} {deed}; (a|with a) (skip|bounce|spring|lilt|swing) in (the|"
        "his|her) (step|walk|voice|stride); (cheeks|face) (flushed with pleasure|pink with delight|dimpled|glowing|"
        "creased with laughter|sore from smiling); (voice|words) (bubbles|bubbling|sings|singing|rings|rises "
        "brightly|full of laughter|bright as a bell|warm as toast); (arms|hands) (thrown wide|open for a hug|clapping|"
        "waving madly|in the air); (head|hair) thrown back in laughter; (hugs|kisses|embraces|squeezes|high-fives) "
        "(everyone|the nurse|{person}|the trophy|the puppy); like (sunshine|a summer day|a bird in spring|champagne|a "
        "child in the snow|a dog whose master is home|Christmas morning|a sunbeam|bells ringing); (full of|brimming "
        "with|bursting with|radiating|oozing|sparkling with) (beans|life|fun|cheer|warmth|charm|good humour|mirth); "
        "(chirpy|perky|bouncy|bubbly|sunny|rosy|merry|chipper|jolly|peppy|upbeat|gleeful) as (ever|a lark|can be|a "
        "robin|{they} {deed})",
        "(jumps|leaps|bounces|twirls|dances) (up and down|on the spot|about the room|on the table) (as|when) {they} "
        "{deed}; (crying|weeping) (happy tears|from laughter|for joy); (whoops|squeals|hollers|cheers) and (hugs "
        "everyone|throws the cap in the air|does a victory lap)",
    ),
    "sad": (
        "(a|the) (sigh|long silence|heavy pause|faraway look|faint quaver) (as|when|while|before) {they} {deed}; "
        "(sighs|looks down|goes quiet|turns away|lowers the eyes|stares into space|swallows hard and is silent) (as|"
        "when|while) {they} {deed}; (shoulders|head|eyes|corners of the mouth|eyelids) (sag|droop|drooping|slump|"
        "sink|hang|fall|bowed|dropped|downturned) (as|when|while) {they} {deed}; (gaze|eyes|stare) (empty|hollow|"
        "lost|vacant and sad|dim|dull|clouded|mournful|lightless|far away and wet|on the floor|on nothing); (voice|"
        "tone|words) (small|thin|faint|toneless with grief|weighed down|full of sighs|barely there|sinking|fading|"
        "defeated|flat with sorrow|soft and broken|low and mournful|heavy|leaden); (smiles|laughs|nods) (sadly|"
        "bravely|through the pain|but the eyes are wet|without joy|for the last time); (footsteps|steps|hands|limbs) "
        "(heavy|heavy as lead|slow|limp|listless); (drained|emptied|beaten|deflated|defeated|worn|faded|grey|wilted|"
        "hollowed out|spent|dispirited|diminished) (by the years|by life|and silent|voice|as {they} {deed}|); (like|"
        "as) (a dying candle|an extinguished lamp|a ghost of {their} former self|a ship without a harbour|a house "
        "after the funeral|a drooping flower|rain on a window|the last leaf|a cello|a song in a minor key|a shadow of "
        "himself|a stray dog in the rain|an old man at a grave); (under|with) a (cloud|grey cloud|shadow|weight on the "
        "chest|stone in the breast|hole in the heart); (picking|poking) at (supper|breakfast) without (appetite|joy|a "
        "word)",
        "(voice|words|tone|speech) (breaks|cracks|breaking|cracking|catches|wavers|gives out|trails away|chokes|"
        "chokes up|goes thick|thickens|falters|dies) (as|when|while) {they} {deed}; (eyes|lashes|cheeks|the eyes) "
        "(fill|well up|welling up|brim|moisten|glisten|shimmer|mist over|water|go wet|are wet|swim|sting|redden|"
        "glassy|wet|damp) (as|when|while) {they} {deed}; (tears|a tear) (come|fall|start|gather|slide|run|roll|well "
        "up|comes|falls|threatens) (as|when|while) {they} {deed}; (chin|lip|lower lip|mouth) (trembles|quivers|"
        "wobbles|quivering|crumples|puckers) (as|when|while) {they} {deed}; (sniffs|sniffles|sobs|weeps|cries|breaks "
        "down|tears up|wells up|chokes up|whimpers|dabs the eyes|wipes a tear|blinks the wetness away|bites back the "
        "tears|hides the tears) (as|when|while) {they} {deed}; (a|the) (lump|knot|sob|ache) in (the|his|her) (throat|"
        "breast|chest|voice) (as|when|while) {they} {deed}; (face|features) (crumples|falls|collapses|wet|tear-stained|"
        "swollen|blotchy|buried in a sleeve|in the hands) (as|when|while) {they} {deed}; (close to|near|fighting|"
        "almost in|swallowing|forcing back|on the edge of|not far from|through|full of|hiding|blind with) tears (as|"
        "when|while) {they} {deed}; (crushed|hurt|wounded|low|broken|gutted|heartsore|sick at heart|weepy|cut to the "
        "quick|down at heart|bruised inside) (as|when|since|because) {they} {deed}; (heart|soul) (in pieces|like lead|"
        "in mourning|sinks|is heavy|bleeds|aches) (as|when|since) {they} {deed}; (curled up|huddled|slumped|hunched) "
        "(in bed|under a blanket|on the floor|over a photograph|in the corner), (weeping|not eating|silent|sniffing|"
        "face to the wall); (tears|sorrow|grief|sadness) (just under the surface|just below the skin|behind every "
        "word|held back with effort|behind the smile)",
        "(falls|breaks|sinks|goes) (apart|to pieces|to the ground|down|to the knees) (and weeps|in tears|sobbing|"
        "wailing) (as|when) {they} {deed}; (body|shoulders|chest|frame) (shakes|heaves|racked|wracked|convulses) with "
        "(sobs|sobbing|weeping|grief); (a|one) (cry|wail|moan|howl|keening) (from the depths|of loss|without words|"
        "that breaks the heart)",
    ),
    "angry": (
        "(jaw|teeth|lips|mouth|fist|fists|hands) (set|tight|tightens|clench|clenches|clenched|pressed together|"
        "compressed|hardens|white) (as|when|while) {they} {deed}; (a|the) (glare|scowl|frown|black look|dark look|hard "
        "stare|curt word|sharp word|hiss|snort of impatience|click of the tongue) (as|when|while) {they} {deed}; "
        "(frowns|scowls|huffs|bristles|grumbles|grits the teeth|drums the fingers|taps the foot|purses the lips|"
        "mutters|stiffens|tuts|groans in exasperation|throws up the hands) (as|when|while|because) {they} {deed}; "
        "(voice|tone|words|reply) (clipped|curt|terse|sharp|hard|icy|cutting|tight|gruff|brusque|short|strained with "
        "anger|frosty|with an edge|edged with steel|like gravel); (brows|eyebrows|brow) (down|pulled together|lowered|"
        "in a knot|like thunder|furrowed hard); (under|below) the (breath, cursing|breath, swearing|calm, rage); "
        "(irked|riled|rattled and cross|nettled|needled|ruffled|stung|put out|provoked|wound up|exasperated|"
        "affronted|rubbed the wrong way|peeved) (by the remark|that|because|as|when) {they} {deed}; (patience|the "
        "fuse|the temper|the good manners) (short|wearing thin|gone|burnt down|frayed|at breaking point|run out); (is|"
        "was) (not|no longer) (joking|playing|asking nicely|in the mood for this|going to take this|to be trifled "
        "with|polite); (a|with a) (face|look|voice) (like thunder|of stone|that says one more word|like a slammed door|"
        "like a clenched fist); (keeps|keeping|holds|holding|bites|biting|swallows|swallowing) (the lid on|himself in "
        "check|herself in check|it in with effort|down the bile|back the insult|back the shout|the tongue and glares)",
        "(voice|tone|words|speech) (rises|rising|raised|cuts|lashes|snaps|bites|thunders|booms|snarls|hisses|low and "
        "hard|loud and hard|quiet and deadly|like ice|like acid|drips venom|shakes with rage|through the teeth|like a "
        "whip) (as|when|while) {they} {deed}; (eyes|the eyes) (narrow|blaze|flash|burn|smoulder|harden|glitter|"
        "narrowed|blazing|smouldering|like slits|like coals|full of hate|ablaze|bore into {them}) (as|when|while) "
        "{they} {deed}; (face|neck|cheeks|ears) (reddens|darkens|hot|crimson|scarlet|purple|flames|flushes dark|"
        "twisted|contorted|like a storm cloud) (as|when|while) {they} {deed}; (glares|snarls|growls|snaps|hisses|"
        "spits|barks|seethes|fumes|boils|simmers|smoulders|shouts|yells|swears|curses|rages|flares up|erupts|stamps|"
        "explodes|lashes out|lets rip|hits back|blows up|jabs a finger|shakes a fist|slams a hand on the table|kicks "
        "the door|clenches a fist|thumps the wall|storms off|gets in his face|bangs on the table) (as|when|while|"
        "because) {they} {deed}; (seething|boiling|fuming|bristling|shaking|simmering|smouldering|burning|bursting|"
        "livid|furious|steaming|spitting) (as|when|while|because|inside as) {they} {deed}; (blood|bile|rage|heat|"
        "temper|anger|gorge) (up|rising|rises|boils|boiling|on the boil|simmering|in the face|climbing) (as|when|"
        "while) {they} {deed}; (ready|about|itching|close|looking|fit) to (snap|burst|bite|strike|hit|explode|punch|"
        "blow|slap|shout|fight|erupt|boil over) (as|when|because) {they} {deed}; (through|between|behind) (gritted|"
        "clenched|set|bared|locked) teeth, {they} {deed}; (like|as) (a caged tiger|a thunderstorm|a lit fuse|a powder "
        "keg|a bull at a gate|a boiling pot|a wasp in a jar|a slap in the face|a blade|a bomb|a dragon|a hissing cat|"
        "an angry god|a prosecutor|a cocked gun|a loaded gun|a mother bear|a sergeant on parade); (leaning|stepping|"
        "moving|pushing) (in|closer|forward) (with fists up|threateningly|to intimidate|finger pointed|until nose "
        "touches nose|and snarling); (menacing|threatening|hostile|aggressive|savage|venomous|vicious|fierce|hard|"
        "harsh) (silence|stare|whisper|gesture|step|tone|snarl|warning|laugh and clenched fists); (fury|rage|anger|"
        "wrath|hatred) (kept|held|bottled|locked|contained|only just contained|boiling) (in|down|on a leash|under a "
        "lid|behind a stiff smile|beneath a quiet voice|under an icy calm); each word (a blow|a slap|spat|bitten off|"
        "like a bullet|a threat|hammered out|like a stone thrown)",
        "(screams|roars|bellows|howls|rages|thunders|shrieks) (abuse|and smashes the plates|in fury|himself hoarse|and "
        "swings at them|for blood|so the windows rattle) (as|when|because) {they} {deed}; (goes|going|gone) (berserk|"
        "ballistic|wild with rage|off like a rocket|for the throat|mad with fury|nuclear|postal) (as|when|because) "
        "{they} {deed}",
    ),
    "surprised": (
        "(blinks|pauses|looks up|looks twice|tilts the head|frowns in puzzlement|wonders aloud|looks round in "
        "wonder|stops mid-sentence|raises an eyebrow|cocks an eyebrow|breaks off|does a double take) (as|when|while|"
        "because) {they} {deed}; (a|the) (blink|raised eyebrow|puzzled look|little gasp|small oh|question in the eyes|"
        "missed beat|curious look|startled pause) (as|when|while) {they} {deed}; (huh|oh|hm|eh|wait|really), {they} "
        "{deed}; (unexpectedly|unusually|strangely|oddly|curiously|for once), (it was empty|it works|nobody minds|"
        "{person} {deed}|he agrees); (puzzled|intrigued|perplexed|curious|bemused|mystified|thrown|wondering) (why|"
        "that|because|as|when) {they} {deed}",
        "(eyes|brows|eyebrows|mouth|jaw) (widen|wide|fly open|fly up|shoot up|round|drops|falls open|drop|agape|"
        "raised|gape|go up) (as|when|while) {they} {deed}; (gasps|stares|gapes|starts|jumps|gawks|freezes mid-step|"
        "whirls round|exclaims|catches the breath|drops everything|spills the coffee|nearly drops the cup|stops dead|"
        "cannot believe it|lets out a cry of wonder) (as|when|because) {they} {deed}; (a|the) (gasp|start|jolt|sharp "
        "breath|stunned silence|cry of wonder|exclamation|stare of disbelief|jolt of surprise) (as|when|while) {they} "
        "{deed}; (astonished|amazed|stunned|startled|staggered|astounded|surprised|taken aback|floored|dumbfounded|"
        "speechless|thunderstruck) (as|when|that|because) {they} {deed}; (all of a sudden|suddenly|out of nowhere|out "
        "of the blue|without warning|to everyone's amazement|as if by magic), {they} {deed}; (wow|whoa|good heavens|"
        "what|no way|my word|well I never|goodness|blimey), {they} {deed}; like (a bolt from a clear sky|a fish "
        "gulping air|an owl at noon|someone who sees snow for the first time|a child at a magic show|someone woken by "
        "trumpets|waking on the moon|a cat at its reflection); (hardly|scarcely|barely) able to (believe it|take it "
        "in|trust the ears|credit it|grasp it) (as|when|that) {they} {deed}",
        "(struck dumb|bereft of words|jaw on the floor|at a loss for words|mouth hanging open|rooted in amazement|"
        "stunned into silence|shocked to silence) (as|when|because) {they} {deed}",
    ),
    "fearful": (
        "(fidgets|hesitates|swallows|stammers|glances back|shrinks|squirms|wrings the hands|chews a nail|edges back|"
        "hovers|looks for a way out|shifts from foot to foot|checks the door again|holds on tight|lowers the voice and "
        "looks round) (as|when|while|before) {they} {deed}; (nervous|uneasy|anxious|timid|wary|jumpy|edgy|worried|"
        "skittish|apprehensive|hesitant|restless|ill at ease) (as|when|while|before|because) {they} {deed}; (voice|"
        "tone|words) (thin and high|unsure|stumbling|shaky|small and scared|tight with nerves|strained|faltering|"
        "jittery|hushed and hurried) (as|when|while) {they} {deed}; (stomach|insides|gut) (in knots|turns to water|"
        "drops|flutters|sinks|churns with nerves|clenches with dread) (as|when|before) {they} {deed}; (hoping|praying|"
        "begging|wishing) (it is nothing|they will not look here|not to be noticed|it will hold|for daylight|to get "
        "out alive|nobody asks)",
        "(trembles|shakes|cowers|cringes|quakes|shivers|flinches|hides|freezes|shrinks back|backs away|recoils in "
        "fear|ducks|runs|flees|begs|pleads|whimpers|holds the breath|does not dare to move|goes pale|turns white|looks "
        "for cover|jumps at every sound|clings to {person}|bolts|panics) (as|when|while|because) {they} {deed}; "
        "(scared|afraid|frightened|fearful|alarmed|terrified|panicky|petrified|spooked) (as|when|that|because|in case) "
        "{they} {deed}; (heart|pulse|blood) (pounding|races|hammers|skips a beat|thumping|stops|in the mouth|cold|"
        "freezes|pounds in the ears) (as|when|while) {they} {deed}; (hands|knees|voice|legs|lips|fingers) (shaking|"
        "trembling|tremble|shake|like jelly|like water|quaking|go weak|buckle) (as|when|while) {they} {deed}; (eyes|"
        "gaze) (wide with fear|darting|huge and scared|fixed on the door|full of dread|pleading|hunted|wild with fear) "
        "(as|when|while) {they} {deed}; (a|the) (shiver|chill|cold hand|icy finger|prickle) (down|up|along) {their} "
        "(spine|back|neck) (as|when|while) {they} {deed}; (cold|icy|clammy) (sweat|fear|dread|hands) (as|when|while) "
        "{they} {deed}; (goosebumps|gooseflesh|hair on end|hair standing up|a dry mouth|breath held|white knuckles|"
        "shallow breath) (as|when|while) {they} {deed}; like (a cornered animal|a hunted fox|a bird in a trap|a child "
        "who hears the monster|a lamb at slaughter|a condemned man|a leaf in the storm|someone on thin ice|someone on "
        "a ledge|a mouse under the owl|a swimmer who sees a fin)",
        "(screams|shrieks|freezes in terror|runs for cover|begs for mercy|faints with fear|loses the head in panic) "
        "(as|when|because) {they} {deed}; (terror|panic|horror|dread) (takes over|floods in|rises|in every limb|closes "
        "the throat) (as|when|while) {they} {deed}",
    ),
    "disgusted": (
        "(nose|lip|lips|mouth|face) (wrinkles|crinkles|curls|puckers|twists|wrinkled|screwed up|crinkled|pursed|turned "
        "down in distaste) (at the smell|over the plate|as it comes near|at the taste|at the first bite|when the lid "
        "is lifted); (pushes|slides|holds|moves) it (away|at a distance|with one finger|out of sight|to the far side "
        "of the table); (would|will) (rather not|never) (touch|taste|sit on|share|eat|drink from) (it|that|such a "
        "thing|the cup|the same spoon); (a|with a) (bad|sour|rancid|metallic|foul|funny) (aftertaste|smell|tang|whiff)",
        "(gags|retches|spits|shudders|recoils|grimaces|winces|turns away|looks away|covers the nose|pinches the nose|"
        "coughs it up|pulls a face|screws up the face|swallows bile|turns green|nearly vomits) (at the smell|at the "
        "taste|at the sight|when the lid is lifted|over the sink|as the slime drips|at the reek|at the touch); (sticky|"
        "slimy|greasy|mouldy|sour|rancid|putrid|rotten|filthy|grimy|soiled|stained|foul|smelly|stinking|lumpy|hairy|"
        "gooey|oily|crusty) (hands|food|milk|meat|sheets|socks|floor|mattress|hair|sponge|water|breath|towel|dishcloth|"
        "underwear|soup|cheese|bandage); (it|this|that|everything) (stinks|reeks|smells|is crawling|oozes|drips|is "
        "rotting|is sticky|is covered in slime|has gone bad|tastes vile|is full of worms|makes me want to be sick|"
        "makes my flesh crawl|is repulsive); (snot|slime|pus|vomit|sweat|spit|dandruff|hair|grease|mould|scum|maggots|"
        "drool|toenails|earwax|cockroaches|rat droppings|sewage|bile|phlegm) (on|in|under|all over) (the food|the "
        "cup|the sheets|the sink|the bath|{their} shoe|the pillow|the carpet|the soup|the towel|the keyboard|the "
        "glass); (flies|rats|roaches|worms|slugs|lice|maggots|bedbugs) (in|on|under|all over) (the food|the bed|the "
        "bin|the meat|the kitchen|the bread); (a|the) (stench|stink|reek|whiff|odour|smell) of (rot|drains|old sweat|"
        "wet dog|spoiled food|urine|vomit|dirty feet|death|sour milk|rubbish) (hits {them}|fills the room|everywhere|"
        "makes the eyes water|); (stomach|gorge|gullet|insides) (turns|rises|heaves|churns|lurches|revolts) (at the "
        "smell|at the sight|at the thought of eating it|as the lid comes off)",
        "(throws up|vomits|pukes|is sick|spews) (at the sight|from the stench|over the side|in the gutter|at the mere "
        "thought)",
    ),
    "contempt": (
        "(smirks|scoffs|shrugs|snorts|yawns|sniffs|smiles thinly|raises one eyebrow|rolls the eyes|looks bored|"
        "examines the nails|waves it off|chuckles at the attempt|clicks the tongue at such stupidity) (as|when|while) "
        "{person} {deed}; (a|the) (smirk|half smile|crooked smile|thin smile|scoff|snort|ironic bow|slow clap|pitying "
        "smile|knowing smirk|dismissive wave|weary superiority) (as|when|while) {person} {deed}; (voice|tone|words) "
        "(dripping with irony|heavy with sarcasm|full of mock praise|bored and superior|laced with scorn|like to a "
        "slow child|nasal and haughty|cool and superior); (smug|superior|aloof|snide|sarcastic|condescending|"
        "patronising|dismissive|cynical|sardonic|unimpressed|cocky) (as|when|while) {person} {deed}; how (quaint|cute|"
        "sweet|original|brave|charming|very rustic), (I suppose|for someone like you|for a beginner|bless him|coming "
        "from you); (oh|ah|well), (you again|another genius|the expert speaks|how clever|a country cousin|the amateur "
        "has an opinion|so that's your best)",
        "(sneers|jeers|mocks|scorns|laughs coldly|looks down|curls the lip|turns up the nose|belittles {them}|talks "
        "down|laughs in {their} face|turns the back|spits|ridicules {them}|makes fun of {them}|humiliates {them}) (as|"
        "when|while|because) {person} {deed}; (contemptuous|scornful|disdainful|arrogant|haughty|derisive|mocking|"
        "sneering) (as|when|while|because) {person} {deed}; (chin|nose|head|eyebrow) (in the air|high|raised|lifted "
        "haughtily|tilted back), (looking down|eyes half shut|sneering|with a sniff|too good for this); (looks at|"
        "speaks to|treats|regards|handles) {person} (like an insect|like a stain|as something on the sole of a shoe|as "
        "furniture|like the help|as a lesser being|as air|like a worm|as a bad joke|with half-closed lids); like (a "
        "king among beggars|a cat watching a mouse|a snob at a bus stop|a peacock among hens|a lord inspecting the "
        "stables|a professor marking a bad essay|a bouncer at the rope|a duchess in a chip shop|an art critic at a "
        "school fair); (too|far too) (good|fine|clever|important|grand|refined) (for|to speak to|to sit with) (the "
        "likes of you|such people|common folk|the rest of us|the crowd|this dump); (laughs|laughing|smirking|sniggers) "
        "at (the loser|their failure|his poverty|her bad grammar|the clumsy one|his rival's mistake|the peasants|"
        "their faith|such nonsense); (they|these people|you lot|such men) are (simple|fools|cattle|sheep|beneath "
        "contempt|second-rate|so predictable|not in my class|a waste of air|small-minded)",
        "(utterly|coldly|openly|wholly) (scornful|contemptuous|disdainful|dismissive) (as|when|while) {person} {deed}",
    ),
}
