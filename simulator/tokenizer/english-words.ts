/**
 * The words of generated text, by part of speech; all of them are single tokens of the built-in tokenizer.
 * Common words on purpose: most are single tokens of real vocabularies too.
 */
export const NOUNS =
  'answer apple area army art author baby back bag ball bank bar base bed bird blood board boat body book bottle box boy brother building business cake camera car card case cat cause cell center chance child church city class cloud club coat code coffee color company computer corner country course court crowd cup customer day deal deck desk detail dinner doctor dog door dream dress driver earth effect egg energy engine evening event eye face fact family farm farmer father field film fire fish floor flower food foot forest form friend fruit future game garden gate girl glass goal gold government group guest hair hall hand hat head heart history home horse hospital hotel hour house idea island job journey judge key king kitchen lady lake land language law leader leaf letter level library life light line list machine man manager map market master meal meat memory message metal middle milk mind minute model moment money month moon morning mother mountain mouth movie music name nature neck neighbor night noise north note number object ocean office oil order page pain paper parent park part party path peace people person phone picture piece place plan planet plant plate play player point police pool power president price problem product program project question rain reader report result rice ring river road rock room rule sale school science sea season seat secret sense ship shirt shop side sign sister sky smile snow soldier son song sound south space sport spring square stage star station step stone store storm story street student summer sun system table teacher team test theory thing town trade train tree trip truth uncle union valley value village visitor voice wall war watch water way weather week wife wind window winter woman wood word work worker world writer year'.split(
    ' ',
  );

export const ADJECTIVES =
  'able bad beautiful best big black blue brown busy careful cheap clean clear clever cold common cool correct dark deep different difficult dry early easy empty equal famous fast fine first flat free fresh full fun good grand gray great green happy hard heavy high hot huge human important kind large last late left light little local long loud low main modern narrow natural near new nice old open plain poor popular private proud public quick quiet rare ready real red rich right round safe serious short simple single slow small soft special strong sure sweet tall thick thin tiny true useful usual warm weak white whole wide wild wise wooden wrong yellow young'.split(
    ' ',
  );

export const VERBS =
  'answers asks becomes begins breaks brings builds buys calls carries catches changes checks closes comes cooks counts covers cuts draws drinks drives eats enters explains falls feels fills finds finishes follows gets gives goes grows hears helps holds keeps knows learns leaves lets likes lives looks loses loves makes meets moves needs offers opens owns passes pays plays pulls pushes puts reads remembers runs says sees sells sends serves sets shows sings sits sleeps speaks spends stands starts stays stops studies takes talks teaches tells thinks touches tries turns uses visits waits walks wants watches wins works writes'.split(
    ' ',
  );

export const PREPOSITIONS =
  'about above across after against along among around at before behind below beside between by down for from in inside into near of off on over past through to toward under until up with within without'.split(
    ' ',
  );

export const DETERMINERS = 'a the this that one each every some any another no its his her our their my your'.split(
  ' ',
);

export const OPENERS = 'The This That One Each Every Some Another Its His Her Our Their My Your'.split(' ');

export const ADVERBS =
  'again ahead almost alone already also always away back clearly early easily ever far finally first hardly here indeed instead later maybe mostly nearly never now often once only perhaps quickly quite rather really simply slowly sometimes soon still then there today together too twice usually very well yesterday yet'.split(
    ' ',
  );
