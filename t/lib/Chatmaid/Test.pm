package Chatmaid::Test;

# The helper of all tests.
#
#   use Chatmaid::Test;
#
#   my $api   = sandbox;
#   my $nginx = nginx(gateway => 'chatmaid_sender +15550100001;');
#   my $m     = {to => '+15550100099', text => 'Your table is ready'};
#
#   is(post('/send', $m, 'Idempotency-Key' => 'k1')->{status}, 201, 'first send');
#   is($api->sends, 1, 'one request');
#
#   done;
#
# Options of nginx() and nginx_t(), all optional:
#
#   main http upstream server gateway internal   more directives for that block;
#             one that is there by default is replaced, "-name;" takes it away
#   servers   whole server blocks
#   conf      the whole text instead; %HEAD% and %HTTP% stand for the usual lines
#   key       what api_key holds (default: test_key)
#   files     {name => text}, written to %DIR% with mode 0600
#   api       a sandbox (default: the last one started; without any, a dead port)
#   probe     the module in t/NAME-probe as well
#   before    other modules' files, loaded before ours; behind: after it
#   workers connections error_log access name no_module
#   clock     one of its own (Chatmaid::Test::Clock)
#
# Placeholders in all of them: %DIR% %PORT% %PORT:name% %API% %CA% %CRT:kind%
# %KEY:kind%, the kinds being those of Chatmaid::Certificates; and %PROXY%, what
# an internal location of the test's own has besides its proxy_pass.

use Mojo::Base -strict, -signatures;
use Chatmaid::Test::Api;
use Chatmaid::Test::Client;
use Chatmaid::Test::Nginx;
use Chatmaid::Test::Process;
use Chatmaid::Test::World qw(test_dir test_port wait_for pause secret api_key certificates
    leaks_in leaks_seen seen processes slurp spurt);
use Exporter ();
use List::Util qw(max);
use POSIX qw(ceil);
use Test::More;

our @ISA    = 'Exporter';
our @EXPORT = (@Test::More::EXPORT, qw(sandbox nginx nginx_t debug_logs accounts plain_chatmaid process
    message native_message no_answer key netstrings told replayed made messages_of sends_of get post request later raw client url
    volume done dir port slurp spurt wait_for pause secret api_key test_key live_key certificates));

Chatmaid::Test::Api::prefork();

my ($nginx, $api, %serial);

# A test has strict, warnings and signatures as well.
sub import ($class, @names) {
    Mojo::Base->import(-strict, -signatures);
    $class->export_to_level(1, $class, @names);
}


# --- What a test runs --------------------------------------------------------

# One test key and one live key, drawn anew for each test file.
sub test_key () { state $key = api_key('test') }
sub live_key () { state $key = api_key('live') }

sub name ($kind) { $kind . (++$serial{$kind} > 1 ? $serial{$kind} : '') }

# Options: settings of the sandbox (keys, accounts, dedup, schedule, rate,
# keepalive, max_requests, webhooks), and cert (good, wrong, foreign), plain, name, host, port.

sub sandbox (%option) {
    my %own = map { $_ => delete $option{$_} } grep { exists $option{$_} } qw(cert plain receiver name host port);
    $option{keys} //= [map { {key => $_, account => 'main'} } test_key, live_key];
    secret($_->{key}) for @{$option{keys}};

    $own{name} //= name('sandbox');
    return $api = Chatmaid::Test::Api->new(%own, settings => \%option)->start;
}

sub gateway (%option) {
    my $name = delete $option{name} // name('nginx');
    $option{key} //= test_key;
    $option{api} //= $api;
    return Chatmaid::Test::Nginx->new(name => $name, option => \%option);
}

# The last one started answers get(), post() and the like.
sub nginx (%option) { $nginx = gateway(%option)->start }

# From here on each nginx writes a debug log, unless it says otherwise.
sub debug_logs () { Chatmaid::Test::Nginx::debug_logs() }

sub last_nginx ()   { $nginx }
sub last_sandbox () { $api }

# A gateway /NAME/ for each of these accounts: what is counted or held back by
# account in one case is then of no concern to another.
sub accounts (@names) {
    return join "\n", map { "location ^~ /$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account $_; }" } @names;
}

# (exit code, output) of nginx -t for a configuration that is not run.
sub nginx_t (%option) {
    my $nginx = gateway(name => name('nginx-t'), %option)->write;
    my @said  = $nginx->test;
    seen('the error log of nginx -t', $nginx->error_log);
    return @said;
}

# A second nginx as Chatmaid, for volume: it answers every POST with the same
# message, and keeps no journal but an access log.
sub plain_chatmaid (%option) {
    my $body = '{"success":true,"data":{"id":"msg_7Qk2Zt90LmXa","from":"+15550100001",'
        . '"to":"+15550100099","content":"Your table is ready","mediaUrls":[],"status":"sent"}}';

    return $api = Chatmaid::Test::Nginx->new(
        name   => name('plain'),
        option => {error_log => 'info', %option, no_module => 1, conf => <<"END"})->start;
%HEAD%
http {
    %HTTP%
    server {
        listen 127.0.0.1:%PORT% ssl backlog=4096;
        ssl_certificate     %CRT:good%;
        ssl_certificate_key %KEY:good%;
        keepalive_timeout   1h;
        keepalive_requests  1000000000;
        default_type        application/json;
        %server%
        location / { return 201 '$body'; }
    }
}
END
}

# Any other program: process('redis', command => [...]), started and ended.
sub process ($name, %option) {
    my $process = Chatmaid::Test::Process->new(name => name($name), %option);
    $process->start;
    return $process;
}

sub dir ()        { test_dir }
sub port ($name)  { test_port($name) }


# --- Messages ----------------------------------------------------------------

# Each is like none before.
my $messages = 0;
sub message (%more)        { {to => '+15550100099', text => 'Message ' . ++$messages, %more} }
sub native_message (%more) { {fromPhoneId => '+15550100001', to => '+15550100099', content => 'Message ' . ++$messages, %more} }

# A fault: the answer ends after its first byte, "before" or "after" the effect.
# It is a try on any connection, while a kept one that is closed without a byte is
# none.
sub no_answer ($when, %more) { {raw => 'H', effect => $when eq 'after' ? \1 : \0, %more} }

# An operation key that no other send has.
sub key () { state $keys = 0; 'key-' . ++$keys }

# As keys are made of several fields.
sub netstrings (@fields) { join '', map { length($_) . ":$_," } @fields }

# "201", or "502 upstream_error unknown": what a caller of the gateway is told.
sub told ($answer) {
    my $json = ref $answer->{json} eq 'HASH' ? $answer->{json} : {};
    return join ' ', grep { defined } $answer->{status}, @$json{qw(code outcome)};
}

sub replayed ($answer) { $answer->{headers}{'idempotent-replayed'} ? 'replayed' : 'new' }

# What became of a message at Chatmaid: the messages there are with its text, and
# the requests that brought it.
sub messages_of ($message, $at = $api) {
    return $at->messages(content => $message->{text} // $message->{content});
}

sub made (@of) { scalar messages_of(@of) }

sub sends_of ($message, $at = $api) {
    return $at->requests(path => '/v1/messages/send', text => $message->{text} // $message->{content});
}


# --- Callers -----------------------------------------------------------------

sub get ($path, @headers)         { $nginx->get($path, @headers) }
sub post ($path, $body, @headers) { $nginx->post($path, $body, @headers) }
sub request (@request)            { $nginx->request(@request) }
sub later (@request)              { $nginx->later(@request) }
sub url ($path)                   { $nginx->url($path) }

# A client of its own: client(keepalive => 1), client(base => …).
sub client (%option) {
    return Chatmaid::Test::Client->new(base => $nginx ? url('/chatmaid') : '', %option);
}

# raw($bytes | [pieces], %option) to the gateway, raw($port, …) to another.
sub raw (@request) {
    unshift @request, $nginx->port if ref $request[0] || $request[0] !~ /\A\d+\z/;
    return Chatmaid::Test::Client::raw(@request);
}

# The share of a full count that this run is worth: CHATMAID_VOLUME is 1 for a
# whole one, and less where each request costs more.
sub volume ($full, $least = 1) {
    my $count = max($least, ceil($full * ($ENV{CHATMAID_VOLUME} // 0.1)));
    return 0 + sprintf "%d", $count;     # an integer, in JSON too
}


# --- The end -----------------------------------------------------------------

# Ends everything, then asserts what holds in every test: clean exits, no alert,
# no report of a sanitizer, and no key anywhere but upstream.  What a test
# expects otherwise it says on the spot, with a reason: $nginx->expect(qr/…/, '…').

sub done () {
    my @all       = processes;
    my @nginxes   = grep { $_->isa('Chatmaid::Test::Nginx') } @all;
    my @sandboxes = grep { $_->isa('Chatmaid::Test::Api') } @all;

    $_->release for grep { $_->alive } @sandboxes;                 # else a worker would wait for them
    for my $nginx (@nginxes) {
        $nginx->test('-T');                     # looked through as it is read
        $nginx->stop;
        check_end($nginx);
    }
    $_->stop for grep { $_->alive } @all;

    for my $sandbox (@sandboxes) {
        is($sandbox->complaints, '', $sandbox->name . ' complained of nothing');
        is($sandbox->status, 0, $sandbox->name . ' ended with status 0');
    }
    is(join('; ', leaks_seen), '', 'no secret in an answer or in what nginx printed');
    done_testing;
}

sub check_end ($nginx) {
    my $name = $nginx->name;

    ok(!$nginx->{late}, "$name ended in time") unless $nginx->{crashed};
    is($nginx->status, 0, "$name ended with status 0") unless $nginx->{crashed};
    is(join("\n", $nginx->unexpected), '', "$name logged no alert, nothing worse");

    my @leaks = map { my $file = $_; map { "$_ in $file" } leaks_in(slurp($nginx->dir . "/$file")) }
        qw(error.log access.log);
    is(join('; ', @leaks, leaks_in($nginx->text)), '', "$name logged no secret");
    note("$name was expected to log $_->[0]: $_->[1]") for @{$nginx->expected};
}

1;
