package Chatmaid::Test::Docs;

# The fenced blocks of README.md and docs/, and the world in which they are
# tried: what `make run` starts.
#
#   my @blocks = blocks;                        # {page, line, tag, text}
#   my $world  = Chatmaid::Test::Docs->start;
#   my @steps  = steps($block->{text});         # a console block's {command, answer}
#   my $said   = $world->typed($steps[0]{command});
#   is(differs($steps[0]{answer}, $said), '', 'as the page says');
#   my ($status, $output) = $world->nginx_t($block->{text});
#   $world->stop;

use Mojo::Base -base, -signatures;
use Chatmaid::Test::World ();         # Mojo::File's spew()
use Exporter 'import';
use HTTP::Tiny;
use IO::Handle;
use IO::Socket::INET;
use Mojo::File qw(path tempdir);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Util qw(decode encode);
use POSIX qw(setsid WNOHANG);
use Time::HiRes qw(sleep time);

# nginx takes a variable of this name for sockets that it inherits.
my $NGINX = delete $ENV{NGINX} || 'nginx';

our @EXPORT = qw(blocks pages steps differs too_new top);

my $TOP = path(__FILE__)->to_abs->dirname->dirname->dirname->dirname->dirname;

sub top ()   { $TOP }
sub pages () { ($TOP->child('README.md'), sort { $a cmp $b } grep { /\.md$/ } $TOP->child('docs')->list->each) }

# What a reader puts in the place of a sample value, in commands and answers.
my %SAMPLE = ('+15551234567' => '+15550100001', '%2B15551234567' => '%2B15550100001',
    sk_test_your_key => 'sk_test_local_sandbox', whsec_your_secret => 'whsec_local_webhooks', whsec_your_next_secret => 'whsec_local_webhooks',
    sk_test_your_next_key => 'sk_test_local_sandbox_next');


# --- Blocks ------------------------------------------------------------------

sub blocks () {
    my @blocks;
    for my $page (pages) {
        my ($line, $block) = (0);
        for (split /\n/, decode('UTF-8', $page->slurp)) {
            $line++;
            if (!$block) {
                $block = {page => $page->basename('.md'), line => $line, tag => $1, text => ''} if /^```(\S*)$/;
            } elsif (/^```$/) {
                push @blocks, $block;
                undef $block;
            } else {
                $block->{text} .= "$_\n";
            }
        }
        die "$page: a block does not end" if $block;
    }
    return @blocks;
}

# A command begins with "$ ", goes on in lines that are indented, and what
# follows up to the next one is its answer.

sub steps ($text) {
    my @steps;
    for (split /\n/, $text) {
        if (/^\$ (.*)/)                                       { push @steps, {command => $1, answer => ''} }
        elsif (!@steps)                                       { die "no command before: $_" }
        elsif ($steps[-1]{answer} eq '' && /^    / && $steps[-1]{command} =~ /(?:\\|')$|<<|^\w+\(\)/m) { $steps[-1]{command} .= "\n$_" }
        else                                                  { $steps[-1]{answer} .= "$_\n" }
    }
    return @steps;
}


# --- Answers -----------------------------------------------------------------

# What is another one each time.
sub alike ($text) {
    return $text =~ s/\b(in)?msg_\w+/($1 \/\/ '') . 'msg_ID'/ger
        =~ s/\b\d{4}-\d\d-\d\dT[\d:.]+Z/TIME/gr
        =~ s/\b[0-9a-f]{64}\b/HEX64/gr
        =~ s/\b[0-9a-f]{32}\b/HEX32/gr
        =~ s/\b[0-9a-f]{24}\b/HEX24/gr
        =~ s/\b\d{13}-\d+\b/ENTRY/gr;
}

# Lines, and JSON texts as one, however many lines they have.

sub parts ($text) {
    my (@parts, $json);
    for (split /\n/, $text) {
        if (defined $json)   { $json .= $_ }
        elsif (/^[{\[]/)     { $json = $_ }
        else                 { push @parts, $_; next }
        my $open = () = $json =~ /[{\[]/g;
        my $shut = () = $json =~ /[}\]]/g;
        if ($open == $shut) {
            push @parts, {json => $json};
            undef $json;
        }
    }
    push @parts, $json if defined $json;
    return @parts;
}

# '', or in what an answer is not the one that is shown.  There "…" is any text
# in a line, any lines where it is alone, and further members in an object.

sub differs ($shown, $said) {
    my @shown = parts(alike($shown));
    my @said  = parts(alike($said));
    return compare(\@shown, \@said) ? '' : "shown:\n$shown\nsaid:\n$said";
}

sub compare ($shown, $said) {
    return !@$said if !@$shown;
    my ($first, @rest) = @$shown;

    if (!ref $first && $first eq '…') {
        for my $from (0 .. @$said) {
            return 1 if compare(\@rest, [@$said[$from .. $#$said]]);
        }
        return 0;
    }
    return 0 if !@$said || !same_part($first, $said->[0]);
    return compare(\@rest, [@$said[1 .. $#$said]]);
}

sub same_part ($shown, $said) {
    return ref $said && same(loosely($shown->{json}), decode_json(encode('UTF-8', $said->{json}))) if ref $shown;
    $said = $said->{json} if ref $said;
    return same_text($shown, $said);
}

sub same_text ($shown, $said) {
    my $pattern = join '.*', map { quotemeta } split /…/, $shown, -1;
    return $said =~ /\A$pattern\z/;
}

# JSON in which "…" stands for more.
sub loosely ($text) {
    my ($json, @in) = ('');
    my @tokens = $text =~ /("(?:[^"\\]|\\.)*"|…|[{}\[\],:]|[^\s"…{}\[\],:]+)/g;
    while (defined(my $token = shift @tokens)) {
        push @in, $token if $token =~ /^[{\[]/;
        pop @in          if $token =~ /^[}\]]/;
        if ($token eq '…') {
            $token = $in[-1] eq '{' ? '"…":"…"' : '"…"';
            $token = ",$token" if $json !~ /[{\[,]\z/;
            $token .= ','      if @tokens && $tokens[0] !~ /^[}\],]/;
        }
        $json .= $token;
    }
    return eval { decode_json(encode('UTF-8', $json)) } // die encode('UTF-8', "shown as JSON, but is none: $text\n$@");
}

sub same ($shown, $said) {
    if (ref $shown eq 'HASH') {
        return 0 if ref $said ne 'HASH';
        my %shown = %$shown;
        my $more  = delete $shown{'…'};
        return 0 if grep { !exists $said->{$_} || !same($shown{$_}, $said->{$_}) } keys %shown;
        return $more || keys %shown == keys %$said;
    }
    if (ref $shown eq 'ARRAY') {
        return 0 if ref $said ne 'ARRAY';
        my @shown = @$shown;
        my $more  = @shown && !ref $shown[-1] && ($shown[-1] // '') eq '…' ? pop @shown : undef;
        return 0 if $more ? @shown > @$said : @shown != @$said;
        return !grep { !same($shown[$_], $said->[$_]) } 0 .. $#shown;
    }
    return !defined $said if !defined $shown;
    return 0 if !defined $said || ref $said xor ref $shown;
    return same_text("$shown", "$said");
}


# --- The world of make run ---------------------------------------------------

has [qw(dir gateway edge control pid tmp work)];

sub start ($class) {
    my $tmp = tempdir('chatmaid-docs-XXXXXX', TMPDIR => 1);
    my $self = $class->new(tmp => $tmp, work => $tmp->child('work')->make_path);
    $tmp->child('run')->make_path;
    chmod 0711, $tmp, $tmp->child('run');

    $self->pid(fork // die "fork: $!");
    if (!$self->pid) {
        setsid();
        delete @ENV{qw(CHATMAID_API_KEY_FILE CHATMAID_FROM CHATMAID_TO)};
        %ENV = (%ENV, TMPDIR => $tmp->child('run'), NGINX => $NGINX);
        open STDOUT, '>', $tmp->child('output') or die;
        open STDERR, '>&', \*STDOUT or die;
        open STDIN, '<', '/dev/null' or die;
        exec $TOP->child('script/run') or POSIX::_exit(127);
    }

    my $said = '';
    $self->wait_for(sub { ($said = -e $tmp->child('output') ? $tmp->child('output')->slurp : '') =~ /Ctrl-C ends it/ },
        sub { "script/run, which says: $said" });
    ($self->{gateway}, $self->{dir}) = $said =~ m{The gateway is at http://(\S+)/chatmaid/ \(its files: (\S+)\)};
    ($self->{edge}) = $said =~ m{webhooks come in at https://(\S+)/webhooks};
    $self->{control} = decode_json(path($self->dir, 'ports')->slurp)->{control};
    $self->{first}   = [$said =~ /^\$ curl.*?(?=^\$|\z)/gms];

    # What pages call /etc/nginx.
    $self->etc->make_path;
    symlink $self->dir, $self->etc->child('chatmaid') or die;
    symlink path($self->dir, $_), $self->etc->child($_) for qw(edge.crt edge.key);
    for my $name (qw(webhook_secret_next bakery_webhook_secret redis_password sentinel_password)) {
        path($self->dir, $name)->spew("whsec_docs_$name\n")->chmod(0600);
    }
    path($self->dir, "${_}_api_key")->spew("sk_test_docs_$_\n")->chmod(0600) for qw(restaurant bakery);

    # On a slow machine Redis must not be away because it is slow.
    $self->reconfigure(sub { s/^(\s*chatmaid_redis\s[^;]+);/$1 timeout=30s;/m or die });
    return $self;
}

sub etc ($self) { $self->tmp->child('etc/nginx') }

sub wait_for ($self, $condition, $what) {
    my $end = time + 120 * ($ENV{CHATMAID_PATIENCE} // 1);
    until ($condition->()) {
        die 'waited in vain for ' . (ref $what ? $what->() : $what) . "\n" if time > $end || waitpid $self->pid, WNOHANG;
        sleep 0.02;
    }
}

sub stop ($self) {
    kill INT => $self->pid;
    waitpid $self->pid, 0;
    return $?;
}

# A question to the sandbox: Chatmaid::Sandbox::Control.
sub ask ($self, $name, %want) {
    my $socket = $self->{socket} //= IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $self->control) || die "control: $@";
    print $socket encode_json([$name, \%want]), "\n";
    my ($error, $data) = @{decode_json(scalar <$socket>)};
    die $error if $error;
    return $data;
}

# No record and no message is left of the page before.
sub fresh ($self) {
    $self->typed('redis-cli FLUSHALL');
    $self->ask('reset');
    delete $self->{message};
}

# All messages get read, by and by, until still().
sub moving ($self) {
    my $pid = fork // die "fork: $!";
    return $self->{mover} = $pid if $pid;
    delete $self->{socket};
    $SIG{TERM} = 'DEFAULT';
    while (1) {
        $self->ask('move', status => 'read');
        sleep 0.2;
    }
}

sub still ($self) {
    kill KILL => $self->{mover};
    waitpid delete $self->{mover}, 0;
}

# Sends, one after the other, until the load is taken away: their statuses.
# A connection each: nginx closes those that are kept and idle when it reloads, and
# a client that has just written to one gets no answer.

sub load ($self) {
    my $file = $self->tmp->child('load')->spew('');
    my $pid  = fork // die "fork: $!";
    return $self->{load} = $pid if $pid;
    $SIG{TERM} = 'DEFAULT';
    my ($http, $n) = (HTTP::Tiny->new(timeout => 60, keep_alive => 0), 0);
    open my $out, '>>', $file or die;
    $out->autoflush(1);
    while (1) {
        my $answer = $http->post('http://' . $self->gateway . '/chatmaid/send', {
            headers => {'Content-Type' => 'application/json'},
            content => encode_json({to => '+15550100099', text => 'Under load ' . ++$n})});
        print $out "$answer->{status}\n";
    }
}

sub loaded ($self) { split /\n/, $self->tmp->child('load')->slurp }

sub unload ($self) {
    my $so_far = $self->loaded;
    $self->wait_for(sub { $self->loaded > $so_far + 10 }, 'further sends');
    kill KILL => $self->{load};
    waitpid delete $self->{load}, 0;
    return $self->loaded;
}

# Where a page's words are in this world.
sub here ($self, $text) {
    my ($gateway, $edge, $etc, $dir) = ($self->gateway, $self->edge, $self->etc, $self->tmp);
    $text =~ s/127\.0\.0\.1:8080/$gateway/g;
    $text =~ s/edge\.example(?::8443)?/$edge/g;
    $text =~ s{/etc/nginx/}{$etc/}g;
    $text =~ s{(?<![\w.])/etc/systemd/}{$dir/etc/systemd/}g;
    $text =~ s/BLOCK 5000/BLOCK 100/g;
    $text =~ s/\Q$_\E/$SAMPLE{$_}/g for keys %SAMPLE;
    $text =~ s/\bmsg_7Qk2Zt90LmXa\b/$self->message/ge;
    return $text;
}

# The message that commands speak of: the last one that an answer has named.
sub message ($self) {
    return $self->{message} // 'msg_7Qk2Zt90LmXa';
}

# What a shell prints that knows this nginx and this Redis.  $? is its status.

sub typed ($self, $script, %option) {
    my $file = $self->tmp->child('typed');
    $self->commands if !$self->{bin};
    $file->spew(encode('UTF-8', <<"END" . ($option{strict} ? "set -euo pipefail\n" : '') . $self->here($script)));
cd '@{[$self->work]}'
export CURL_CA_BUNDLE='@{[$self->dir]}/edge.crt' SSL_CERT_FILE='@{[$self->dir]}/edge.crt' PYTHONDONTWRITEBYTECODE=1 no_proxy='*' NO_PROXY='*'
export REDIS_URL='unix://@{[$self->dir]}/redis.sock'
PATH="$self->{bin}:/usr/bin:/bin:\$PATH:/usr/sbin:/sbin"
END
    open my $out, '-|', 'bash', '-c', 'exec bash "$0" 2>&1 < /dev/null', $file or die "bash: $!";
    my $said = do { local $/; <$out> } // '';
    close $out;
    $self->{message} = $1 if $said =~ /"id":"(msg_\w+)"/;
    return decode('UTF-8', $said =~ s/\r//gr) // $said;
}

# The commands that a page types, for this world.  What would install something
# is looked at alone, as if nothing had been built: there has to be such a target.

sub commands ($self) {
    my ($dir, $nginx) = ($self->dir, $NGINX);
    my $bin = $self->{bin} = $self->tmp->child('bin')->make_path;
    my %run = (
        'curl'      => 'exec /usr/bin/curl -sS --max-time 60 "$@"',
        # Here is no Cluster whose redirects "-c" would follow.
        'redis-cli' => "[ \"\$1\" != -c ] || shift\nexec /usr/bin/redis-cli -s '$dir/redis.sock' \"\$@\"",
        'systemctl' => 'exec nginx -s reload',
        'nginx'     => qq{real=\$(PATH=\${PATH#*:} command -v '$nginx')\nexport ASAN_OPTIONS=detect_leaks=0\nexec "\$real" -c '$dir/nginx.conf' -g 'daemon off;' "\$@"},
        'make'      => qq{if [ "\$1" = webhook ]; then exec /usr/bin/make -s -C '$TOP' "\$@"; fi\n}
            . qq{exec /usr/bin/make -n -C '$TOP' BUILD='$dir/build' "\$@" > /dev/null},
    );
    $bin->child($_)->spew("#!/bin/bash\n$run{$_}\n")->chmod(0755) for keys %run;
    symlink $TOP->child('script'), $self->work->child('script') or die;
}

# Changes the configuration, and comes back once new workers have it.
sub reconfigure ($self, $change) {
    my $file = path($self->dir, 'nginx.conf');
    my $log  = path($self->dir, 'error.log');
    my $seen = -s $log;
    local $_ = $file->slurp;
    $change->();
    $file->spew($_);
    $self->typed('nginx -s reload');
    $self->wait_for(sub { substr($log->slurp, $seen) =~ /exited with code 0/ }, 'the old workers to end');
}


# --- nginx configurations ----------------------------------------------------

my %LEVEL = (
    (map { $_ => 'main' } qw(load_module user worker_processes worker_shutdown_timeout error_log pid events http env)),
    (map { $_ => 'http' } qw(server upstream map geo log_format access_log limit_req_zone limit_conn_zone split_clients resolver
        chatmaid_zone chatmaid_redis)),
    (map { $_ => 'server' } qw(location listen server_name ssl_certificate ssl_certificate_key ssl_client_certificate ssl_verify_client)),
    (map { $_ => 'internal' } qw(proxy_pass proxy_ssl_certificate proxy_ssl_certificate_key)),
);

# The directives of a text, blocks with what they hold: [[name, text], …]

sub statements ($text) {
    my (@all, $depth, $now);
    ($depth, $now) = (0, '');
    while ($text =~ /\G("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|#[^\n]*|\$\{|.)/gcs) {
        my $part = $1;
        $now .= $part;
        $depth++ if $part eq '{';
        $depth-- if $part eq '}';
        next if $depth || $part !~ /\A[;}]\z/;
        my ($name) = $now =~ /\A(?:\s|#[^\n]*\n)*(\S+?)[\s;{]/ or die "no directive in $now";
        push @all, [$name, $now];
        $now = '';
    }
    die "not a whole directive: $now" if $now =~ s/#[^\n]*//gr =~ /\S/;
    return @all;
}

# A whole configuration around what a page shows.

sub around ($self, $text) {
    my %at = map { $_ => '' } qw(main http server gateway internal webhook);
    for (statements($text)) {
        my ($name, $statement) = @$_;
        my $level = $LEVEL{$name} // ($name =~ /^(?:chatmaid_webhook|proxy_)/ ? 'webhook' : 'gateway');
        $at{$level} .= "$statement\n";
    }
    return $text if $at{main} =~ /^\s*events\b/m;

    my $all  = join '', values %at;
    my $root = $self->dir;
    my $http = $at{http};
    $http .= "\nchatmaid_api_key_file $root/api_key;" if $http !~ /^\s*chatmaid_api_key_file/m;
    $http .= "\nchatmaid_redis unix:$root/redis.sock;" if $http !~ /^\s*chatmaid_redis/m;
    $http .= "\nupstream chatmaid_api { server 127.0.0.1:443 max_fails=0; }" if $all !~ /upstream chatmaid_api/;

    my $server = $at{server};
    if ("$at{server}$at{gateway}$at{internal}$at{webhook}" =~ /\S/) {
        $server .= "\nlocation ^~ /chatmaid/ { chatmaid_gateway /.chatmaid/; $at{gateway} }"
            if $server !~ /chatmaid_gateway/;
        $server .= "\nlocation ^~ /.chatmaid/ { internal; $at{internal} " . ($at{internal} =~ /proxy_pass/ ? '' : 'proxy_pass https://chatmaid_api/;') . ' }'
            if $server !~ m{location \S* ?/\.chatmaid/};
        $server .= "\nlocation = /webhooks/chatmaid { $at{webhook}"
            . ($at{webhook} =~ /chatmaid_webhook\s/ ? '' : 'chatmaid_webhook on;')
            . ($at{webhook} =~ /secret_file/ ? '' : "chatmaid_webhook_secret_file $root/webhook_secret;")
            . ($at{webhook} =~ /proxy_pass|stream/ ? '' : 'proxy_pass http://127.0.0.1:9000;') . ' }' if $at{webhook} =~ /\S/;
        $http .= "\nserver { listen unix:$root/around.sock; $server }";
    }
    return "load_module modules/ngx_http_chatmaid_module.so;\n$at{main}\nevents {}\nhttp {\n$http\n}\n";
}

# Which nginx a block needs, where the one under test is older: "1.27.3".  Its first
# line says it: "# nginx 1.27.3 or newer".

sub too_new ($text) {
    my ($needed) = $text =~ /\A# nginx ([\d.]+) or newer\n/ or return;
    state $version = qx($NGINX -v 2>&1) =~ m{nginx/([\d.]+)} ? $1 : die "$NGINX does not run\n";
    my ($one, $other) = map { join '', map { chr } split /\./ } $version, $needed;
    return $one lt $other ? $needed : undef;
}

# (exit status, output) of nginx -t.

sub nginx_t ($self, $text) {
    my $conf   = $self->here($self->around($text));
    my $module = $ENV{CHATMAID_MODULE} // $TOP->child('build/ngx_http_chatmaid_module.so');
    my $dir    = $self->tmp;

    if (length $module) { $conf =~ s{^load_module .*\n}{load_module "$module";\n}m }
    else                { $conf =~ s{^load_module .*\n}{}m }
    $conf =~ s{/var/log/nginx/|/var/lib/nginx/|/run/nginx}{$dir/}g;
    $conf =~ s{\b(?:developers-api\.chatmaid\.net(?=:443\b)|redis\.example\b)}{127.0.0.1}g;       # no name is looked up

    $self->tmp->child('logs')->make_path;       # where an nginx writes that was not told otherwise
    my $file = $self->tmp->child('page.conf')->spew(encode('UTF-8', $conf));
    open my $out, '-|', 'bash', '-c', 'ASAN_OPTIONS=detect_leaks=0 exec "$0" -t -p "$2" -e "$2/t.log" -c "$1" -g "daemon off; pid $2/t.pid;" 2>&1',
        $NGINX, $file, $self->tmp or die;
    my $said = do { local $/; <$out> };
    close $out;
    return ($?, $said);
}

1;
